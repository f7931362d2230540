"""Giving up: an old copy is dropped only when other members have what it holds, or nobody may have it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from gossipnode.core.cluster.placement import AckLevel, replicas_of
from gossipnode.core.cluster.registry_records import group_entity
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.hand_off.give_up import Leaver
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import TooFewReplicasError, UnknownGroupError
from gossipnode.node.search.feeds import SCAN_PAGE_RECORDS
from tests.node.hand_off.alone import Compared, FakeSessions, members_of, peer
from tests.node.members_and_groups import group, member, settled, tombstone
from tests.node.support import make_local
from tests.records import record

SHARD = ShardId("sw", 0)
NEW, NEWER = [name for name in string.ascii_lowercase[1:] if replicas_of(SHARD, ["a", name], 1) == (name,)][
    :2
]
"""Two members that come before a as holders of the shard."""


class FakeBulk:
    """Takes records for other incarnations, or fails as the test says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.pages: list[int] = []
        self.levels: set[AckLevel] = set()

    async def write_versions(self, records: Sequence[Record], level: AckLevel) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None and self.pages:
            raise self.error
        self.pages.append(len(records))
        self.levels.add(level)


def leaver(local: LocalState, sessions: Any, *peers: Any, bulk: Any = None) -> Leaver:
    return Leaver(local, members_of("a", *peers), sessions, bulk or FakeBulk())


async def leaving() -> LocalState:
    """What a knows, which has a record of a shard that NEW holds now."""
    local = make_local(members=("a",), replicas=1)
    await local.store.write([(SHARD, record("n/1"))])
    local.registry.took([member(NEW, joined=5), settled(9, a=0, **{NEW: 5})])
    return local


async def test_a_copy_is_dropped_once_the_new_holder_has_it_all() -> None:
    local, sessions = await leaving(), FakeSessions()
    of = leaver(local, sessions, peer(NEW))
    assert of.leftovers() == [SHARD]
    await of.give_up(SHARD)
    fence = local.shards.placement(SHARD).fence.hex()
    assert sessions.compared == [Compared(NEW, SHARD, fence, leaving=True)]
    assert local.store.shards() == of.leftovers() == []


@pytest.mark.parametrize(("end", "skipped"), [(HopEnd.FAILED, 0), (HopEnd.SKIPPED, 0), (HopEnd.REPAIRED, 1)])
async def test_a_copy_stays_while_the_new_holder_may_lack_anything(end: HopEnd, skipped: int) -> None:
    local, sessions = await leaving(), FakeSessions({NEW: end}, skipped)
    of = leaver(local, sessions, peer(NEW))
    await of.give_up(SHARD)
    assert len(sessions.compared) == 1
    assert of.leftovers() == [SHARD]


async def test_a_copy_stays_while_a_new_holder_is_not_known() -> None:
    local, sessions = await leaving(), FakeSessions()
    of = leaver(local, sessions)
    await of.give_up(SHARD)
    assert of.leftovers() == [SHARD]
    assert sessions.compared == []


async def test_every_new_holder_has_to_have_it() -> None:
    local = make_local(members=("a",), replicas=2)
    await local.store.write([(SHARD, record("n/1"))])
    both = (NEW, NEWER)
    joined = dict.fromkeys(both, 5)
    local.registry.took([*(member(name, joined=5) for name in both), settled(9, a=0, **joined)])
    assert local.shards.replicas(SHARD) == both
    for failing in both:
        await leaver(local, FakeSessions({failing: HopEnd.FAILED}), *map(peer, both)).give_up(SHARD)
        assert local.store.shards() == [SHARD]
    await leaver(local, FakeSessions(), *map(peer, both)).give_up(SHARD)
    assert local.store.shards() == []


async def test_a_copy_stays_when_members_change_while_it_is_handed_over() -> None:
    """It may be needed again."""
    local = await leaving()

    async def change() -> None:
        local.registry.took([member("z", joined=9)])

    await leaver(local, FakeSessions(meanwhile=change), peer(NEW)).give_up(SHARD)
    assert local.store.shards() == [SHARD]


async def test_what_this_node_holds_is_not_left_over() -> None:
    local = make_local(members=("a",), replicas=1)
    await local.store.write([(SHARD, record("n/1"))])
    local.registry.took([member(NEW, joined=5), settled(a=0)])
    # While members change, a new replica may still have to copy the records.
    assert leaver(local, FakeSessions()).leftovers() == []


async def test_a_deleted_group_is_dropped_and_nobody_is_asked() -> None:
    local, sessions = make_local(groups={}), FakeSessions()
    local.registry.took([group("made", 7, incarnation=7)])
    shard = ShardId("made", 0, 7)
    await local.store.write([(shard, record("n/1", group="made"))])
    of = leaver(local, sessions, peer("b"))
    assert of.leftovers() == []
    local.registry.took([tombstone(group_entity("made"), 9)])
    assert of.leftovers() == [shard]
    await of.give_up(shard)
    assert local.store.shards() == []
    assert sessions.compared == []


async def losing(count: int) -> LocalState:
    """What a knows of a group that was made twice at once, with records in the definition that lost."""
    local = make_local(groups={})
    local.registry.took([group("made", 7, incarnation=7)])
    records = [record(f"n/{number:03}", group="made") for number in range(count)]
    await local.store.write([(ShardId("made", 0, 7), each) for each in records])
    local.registry.took([group("made", 8, incarnation=8)])
    return local


async def test_the_records_of_a_definition_that_lost_move_to_the_one_that_won() -> None:
    local, bulk = await losing(SCAN_PAGE_RECORDS + 10), FakeBulk()
    shard = ShardId("made", 0, 7)
    of = leaver(local, FakeSessions(), bulk=bulk)
    assert of.leftovers() == [shard]
    await of.give_up(shard)
    assert (bulk.pages, bulk.levels) == ([SCAN_PAGE_RECORDS, 10], {AckLevel.QUORUM})
    assert local.store.shards() == []


@pytest.mark.parametrize("error", [TooFewReplicasError("1 of 3"), UnknownGroupError("made", ())])
async def test_they_stay_while_too_few_replicas_take_them(error: Exception) -> None:
    local = await losing(SCAN_PAGE_RECORDS + 10)
    shard = ShardId("made", 0, 7)
    await leaver(local, FakeSessions(), bulk=FakeBulk(error)).give_up(shard)
    assert local.store.shards() == [shard]
    assert (await local.store.counts(shard)).records == SCAN_PAGE_RECORDS + 10
