"""A successor that hangs holds some of the sessions that this node opens, and never all of them."""

from __future__ import annotations

import random

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop, Report
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.node.repair.holder import Holder
from gossipnode.node.repair.session_slots import places_for


class SomeHang:
    """Peers of which some take sessions and never end them."""

    def __init__(self, hang: str = "c") -> None:
        self.hang = hang
        self.open: dict[str, int] = {}
        self.ended: list[str] = []

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        self.open[peer] = self.open.get(peer, 0) + 1
        if peer in self.hang:
            await trio.sleep_forever()
        await trio.sleep(1)
        self.open[peer] -= 1
        self.ended.append(peer)
        return Hop("b", peer, HopEnd.EQUAL)

    async def propagate(self, peer: str, message: RoundMessage) -> tuple[str, bool]:
        await trio.lowlevel.checkpoint()
        return "", False

    def tell(self, origin: str, report: Report) -> None:
        pass


@pytest.mark.parametrize("max_sessions", [2, 3, 8])
async def test_one_that_hangs_stops_no_round_with_others(max_sessions: int, autojump_clock: object) -> None:
    peers = SomeHang()
    holder = Holder("b", peers, max_sessions=max_sessions, half_interval=lambda: 0.0, rng=random.Random(1))
    async with trio.open_nursery() as nursery:
        await nursery.start(holder.run)
        for number in range(40):
            nodes = ("a", "b", "c") if number < 20 else ("a", "b", "d")
            shard = ShardId("sw", number)
            holder.offer(RoundMessage(f"r{number}", shard, "a", nodes, 0, Cause.ASKED))
        await trio.sleep(25)
        assert peers.open["c"] == max_sessions
        assert peers.ended == ["d"] * 20
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("hang", ["cd", "cdef"])
async def test_several_that_hang_stop_no_round_with_others(hang: str, autojump_clock: object) -> None:
    peers = SomeHang(hang)
    holder = Holder("b", peers, max_sessions=8, half_interval=lambda: 0.0, rng=random.Random(1))
    async with trio.open_nursery() as nursery:
        await nursery.start(holder.run)
        for number in range(100):
            nodes = ("a", "b", hang[number % len(hang)])
            shard = ShardId("sw", number)
            holder.offer(RoundMessage(f"r{number}", shard, "a", nodes, 0, Cause.ASKED))
        await trio.sleep(1)
        for number in range(100, 110):
            shard = ShardId("sw", number)
            holder.offer(RoundMessage(f"r{number}", shard, "a", ("a", "b", "g"), 0, Cause.ASKED))
        await trio.sleep(25)
        assert peers.ended == ["g"] * 10
        assert all(peers.open[peer] for peer in hang)
        nursery.cancel_scope.cancel()


async def test_all_peers_together_stay_within_the_places(autojump_clock: object) -> None:
    peers = SomeHang()
    holder = Holder("b", peers, max_sessions=4, half_interval=lambda: 0.0, rng=random.Random(1))
    most = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(holder.run)
        for number in range(40):
            nodes = ("a", "b", "cdef"[number % 4])
            shard = ShardId("sw", number)
            holder.offer(RoundMessage(f"r{number}", shard, "a", nodes, 0, Cause.ASKED))
        for _ in range(20):
            await trio.sleep(0.5)
            most = max(most, sum(peers.open.values()))
        nursery.cancel_scope.cancel()
    assert places_for(4) - 1 <= most <= places_for(4)
