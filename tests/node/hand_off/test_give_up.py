"""Giving up: an old copy is dropped only when other members have what it holds, or nobody may have it."""

from __future__ import annotations

import string
from typing import Any

import pytest

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.hand_off.give_up import Leaver
from gossipnode.node.local.local_state import LocalState
from tests.node.epochs import change, created, deleted, joins, leaves, settled
from tests.node.hand_off.stand_ins import Compared, FakeSessions, members_of, peer
from tests.node.support import make_local
from tests.records import record

SHARD = ShardId("sw", 0)
NEW, NEWER = [name for name in string.ascii_lowercase[1:] if replicas_of(SHARD, ["a", name], 1) == (name,)][
    :2
]
"""Two members that come before a as holders of the shard."""


def leaver(local: LocalState, sessions: Any, *peers: Any) -> Leaver:
    return Leaver(local, members_of("a", *peers), sessions)


async def leaving() -> LocalState:
    """What a knows, which has a record of a shard that NEW holds now."""
    local = make_local(members=("a",), replicas=1)
    await local.store.write([(SHARD, record("n/1"))])
    change(local, joins(NEW))
    settled(local)
    return local


async def test_a_copy_is_dropped_once_the_new_holder_has_it_all() -> None:
    local, sessions = await leaving(), FakeSessions()
    of = leaver(local, sessions, peer(NEW))
    assert await of.leftovers() == [SHARD]
    await of.give_up(SHARD)
    fence = local.shards.placement(SHARD).fence.hex()
    assert sessions.compared == [Compared(NEW, SHARD, fence, leaving=True)]
    assert local.store.shards() == await of.leftovers() == []


@pytest.mark.parametrize(("end", "skipped"), [(HopEnd.FAILED, 0), (HopEnd.SKIPPED, 0), (HopEnd.REPAIRED, 1)])
async def test_a_copy_stays_while_the_new_holder_may_lack_anything(end: HopEnd, skipped: int) -> None:
    local, sessions = await leaving(), FakeSessions({NEW: end}, skipped)
    of = leaver(local, sessions, peer(NEW))
    await of.give_up(SHARD)
    assert len(sessions.compared) == 1
    assert await of.leftovers() == [SHARD]


async def test_a_copy_stays_while_a_new_holder_is_not_known() -> None:
    local, sessions = await leaving(), FakeSessions()
    of = leaver(local, sessions)
    await of.give_up(SHARD)
    assert await of.leftovers() == [SHARD]
    assert sessions.compared == []


async def test_every_new_holder_has_to_have_it() -> None:
    local = make_local(members=("a",), replicas=2)
    await local.store.write([(SHARD, record("n/1"))])
    both = (NEW, NEWER)
    change(local, *map(joins, both))
    settled(local)
    assert local.shards.replicas(SHARD) == both
    for failing in both:
        await leaver(local, FakeSessions({failing: HopEnd.FAILED}), *map(peer, both)).give_up(SHARD)
        assert local.store.shards() == [SHARD]
    await leaver(local, FakeSessions(), *map(peer, both)).give_up(SHARD)
    assert local.store.shards() == []


async def test_a_copy_stays_when_members_change_while_it_is_handed_over() -> None:
    """It may be needed again."""
    local = await leaving()

    async def another() -> None:
        change(local, leaves(NEW))

    await leaver(local, FakeSessions(meanwhile=another), peer(NEW)).give_up(SHARD)
    assert local.store.shards() == [SHARD]


async def test_what_this_node_holds_is_not_left_over() -> None:
    local = make_local(members=("a",), replicas=1)
    await local.store.write([(SHARD, record("n/1"))])
    change(local, joins(NEW))
    # While members change, a new replica may still have to copy the records.
    assert await leaver(local, FakeSessions()).leftovers() == []


async def test_a_deleted_group_is_dropped_and_nobody_is_asked() -> None:
    local, sessions = make_local(groups={}), FakeSessions()
    change(local, created("made"))
    shard = ShardId("made", 0, 2)
    await local.store.write([(shard, record("n/1", group="made"))])
    of = leaver(local, sessions, peer("b"))
    assert await of.leftovers() == []
    change(local, deleted("made"))
    assert await of.leftovers() == [shard]
    await of.give_up(shard)
    assert local.store.shards() == []
    assert sessions.compared == []
