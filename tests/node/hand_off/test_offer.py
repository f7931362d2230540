"""Offering: every replica is compared with, by the placement that stands, until all of them have it all."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.hand_off.offer import Offerer
from gossipnode.node.identity.birth import OFFER_NOTE
from gossipnode.node.local.local_state import LocalState
from tests.node.epochs import change, joins, replaced, settled
from tests.node.hand_off.stand_ins import Compared, FakeSessions, members_of, peer
from tests.node.support import make_local

SHARD = ShardId("sw", 0)


async def due() -> LocalState:
    """What a knows, which came with records as a member beside b and c."""
    local = make_local(members=("a", "b", "c"), replicas=3)
    await local.store.keep_note(OFFER_NOTE, b"due")
    return local


async def offer(local: LocalState, sessions: FakeSessions, *names: str) -> bool:
    return await offerer(local, sessions, *names).offer_all(local.shards.view)


def offerer(local: LocalState, sessions: FakeSessions, *names: str) -> Offerer:
    return Offerer(local, members_of("a", *map(peer, names)), sessions)  # type: ignore[arg-type]


async def test_every_replica_is_compared_with_and_then_it_is_over() -> None:
    local, sessions = await due(), FakeSessions()
    of = offerer(local, sessions, "b", "c")
    assert await of.offer_all(local.shards.view)
    fence = local.shards.placement(SHARD).fence.hex()
    assert sessions.compared == [Compared(name, SHARD, fence, leaving=False) for name in "bc"]
    assert await local.store.note(OFFER_NOTE) is None
    assert await of.offer_all(local.shards.view)
    assert await offer(local, sessions, "b", "c")  # also after a restart
    assert len(sessions.compared) == 2


async def test_nothing_is_offered_where_nothing_is_due() -> None:
    local, sessions = make_local(members=("a", "b"), replicas=2), FakeSessions()
    assert await offer(local, sessions, "b")
    assert sessions.compared == []


@pytest.mark.parametrize(("end", "skipped"), [(HopEnd.FAILED, 0), (HopEnd.SKIPPED, 0), (HopEnd.REPAIRED, 1)])
async def test_who_may_lack_anything_is_asked_again_and_the_others_are_not(end: HopEnd, skipped: int) -> None:
    local, sessions = await due(), FakeSessions({"b": end}, skipped)
    of = offerer(local, sessions, "b", "c")
    assert not await of.offer_all(local.shards.view)
    assert await local.store.note(OFFER_NOTE) is not None
    sessions.ends, sessions.skipped = {}, 0
    asked_before = [each.peer for each in sessions.compared]
    assert await of.offer_all(local.shards.view)
    again = ["b"] if end is not HopEnd.REPAIRED else ["b", "c"]  # then c left something out, too
    assert [each.peer for each in sessions.compared] == [*asked_before, *again]


async def test_a_replica_that_is_not_known_is_waited_for() -> None:
    local, sessions = await due(), FakeSessions()
    assert not await offer(local, sessions, "b")
    assert await local.store.note(OFFER_NOTE) is not None


async def test_a_shard_that_moves_is_waited_for() -> None:
    local, sessions = await due(), FakeSessions()
    change(local, joins("d"))
    for moved in (joins("d"), replaced("b")):
        change(local, moved)
        assert local.shards.placement(SHARD).moving
        assert not await offer(local, sessions, "b", "c", "d")
    assert sessions.compared == []
    settled(local)
    assert await offer(local, sessions, "b", "c", "d")


async def test_what_was_offered_before_a_move_is_offered_again_after_it() -> None:
    local, sessions = await due(), FakeSessions({"c": HopEnd.FAILED})
    of = offerer(local, sessions, "b", "c")
    assert not await of.offer_all(local.shards.view)
    change(local, replaced("b"))
    settled(local)
    sessions.ends = {}
    sessions.compared.clear()
    assert await of.offer_all(local.shards.view)
    assert [each.peer for each in sessions.compared] == ["b", "c"]


async def test_a_view_that_changes_meanwhile_is_looked_at_again() -> None:
    local, sessions = await due(), FakeSessions()

    async def meanwhile() -> None:
        change(local, replaced("c"))
        sessions.meanwhile = None

    sessions.meanwhile = meanwhile
    assert not await offer(local, sessions, "b", "c")
    assert await local.store.note(OFFER_NOTE) is not None


async def test_a_store_that_is_no_members_offers_nothing() -> None:
    local, sessions = await due(), FakeSessions()
    change(local, replaced("a"))
    settled(local)
    assert not await offer(local, sessions, "b", "c")
    assert sessions.compared == []
