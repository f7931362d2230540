"""Settling: who writes down that the members are settled, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gossipnode.core.cluster.registry_records import SETTLED_ENTITY, Tags, settled_tags
from gossipnode.core.model.property import Entity, Record
from gossipnode.node.hand_off.settle import Settler
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.registry import registry_record
from tests.node.hand_off.alone import members_of, peer
from tests.node.members_and_groups import member
from tests.node.support import make_local


class FakeSync:
    """What is written to the registry, and what is sent to the other members."""

    def __init__(self) -> None:
        self.put_records: list[tuple[Entity, Tags]] = []
        self.spread_records: list[Record] = []

    async def put(self, entity: Entity, tags: Tags) -> Record:
        await trio.lowlevel.checkpoint()
        self.put_records.append((entity, tags))
        return registry_record(entity, tags, revision=9, created=9)

    async def spread(self, *records: Record) -> int:
        await trio.lowlevel.checkpoint()
        self.spread_records += records
        return 1


def growing(own_name: str = "a") -> LocalState:
    """What a member of a, b and c knows, of which c has just joined."""
    local = make_local(own_name=own_name)
    local.registry.took([member("c", joined=5)])
    return local


async def settle(local: LocalState, *peers: Any) -> FakeSync:
    sync: Any = FakeSync()
    members = members_of(local.own_name, *peers)
    await Settler(local, members, sync).settle(local.shards.view)
    assert len(sync.put_records) == len(sync.spread_records)
    return sync  # type: ignore[no-any-return]


def view_of(local: LocalState) -> bytes:
    return local.shards.view.view_id


async def test_the_first_member_writes_it_down_once_every_new_replica_is_filled() -> None:
    local = growing()
    sync = await settle(local, peer("b"), peer("c", filled_view=view_of(local)))
    assert sync.put_records == [(SETTLED_ENTITY, settled_tags({"a": 0, "b": 0, "c": 5}))]
    local.registry.took(sync.spread_records)
    assert local.shards.view.is_settled
    # Once is enough.
    assert (await settle(local, peer("b"), peer("c"))).put_records == []


@pytest.mark.parametrize("said", [b"", b"another view"])
async def test_nothing_is_settled_before_all_are_filled_in_this_view(said: bytes) -> None:
    local = growing()
    assert (await settle(local, peer("b"), peer("c", filled_view=said))).put_records == []
    assert (await settle(local, peer("b"))).put_records == []


async def test_every_new_replica_has_to_be_filled() -> None:
    local = make_local(replicas=4)
    local.registry.took([member("c", joined=5), member("d", joined=5)])
    view = view_of(local)
    for c, d in ((b"", view), (view, b"")):
        sync = await settle(local, peer("b"), peer("c", filled_view=c), peer("d", filled_view=d))
        assert sync.put_records == []
    done = (peer("c", filled_view=view), peer("d", filled_view=view))
    assert len((await settle(local, peer("b"), *done)).put_records) == 1


async def test_it_is_left_to_the_first_member_that_is_up() -> None:
    local = growing("b")
    done = peer("c", filled_view=view_of(local))
    assert (await settle(local, peer("a"), done)).put_records == []
    for state, foreign in (("down", False), ("unknown", False), ("up", True)):
        first: Any = peer("a", state=state, foreign=foreign)  # type: ignore[arg-type]
        assert len((await settle(local, first, done)).put_records) == 1


async def test_a_new_replica_settles_nothing_before_it_is_filled_itself() -> None:
    local = growing("c")
    down = (peer("a", state="down"), peer("b", state="down"))
    assert (await settle(local, *down)).put_records == []
    for shard in local.shards:
        await local.fill.remember(local.shards.view, shard)
    assert len((await settle(local, *down)).put_records) == 1


async def test_one_that_is_no_member_settles_nothing() -> None:
    local = growing("0")
    assert (await settle(local, peer("c", filled_view=view_of(local)))).put_records == []
