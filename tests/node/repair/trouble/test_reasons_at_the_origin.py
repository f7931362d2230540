"""Why a holder broke a round off reaches the round at its origin, whatever went wrong before."""

from __future__ import annotations

import random

import pytest
import structlog.testing
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop, OpenRound, Report, RoundOutcome
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from gossipnode.node.repair.holder import Holder

SHARD = ShardId("sw", 0)


class FirstSkippedThenBroken:
    """Peers of which c is skipped, and a session with a meets a defect or never ends."""

    def __init__(self, *, defect: bool) -> None:
        self.defect = defect
        self.with_a = trio.Event()
        self.round = OpenRound(
            "r1", SHARD, "a", ("a", "b", "c"), started_at=0, now=0.0, deadline_seconds=60.0
        )

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        if peer == "c":
            return Hop("b", "c", HopEnd.SKIPPED, "down")
        self.with_a.set()
        if self.defect:
            raise ZeroDivisionError("a defect")
        await trio.sleep_forever()
        raise AssertionError

    async def propagate(self, peer: str, message: RoundMessage) -> tuple[str, bool]:
        raise AssertionError

    def tell(self, origin: str, report: Report) -> None:
        self.round.report(report, trio.current_time())


@pytest.mark.parametrize(
    ("defect", "reason"), [(True, "internal error at b"), (False, "holder b is stopping")]
)
async def test_the_reason_is_shown_though_an_earlier_hop_failed(
    defect: bool, reason: str, autojump_clock: object
) -> None:
    peers = FirstSkippedThenBroken(defect=defect)
    holder = Holder("b", peers, max_sessions=8, half_interval=lambda: 0.0, rng=random.Random(1))
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            await nursery.start(holder.run)
            holder.offer(RoundMessage("r1", SHARD, "a", ("a", "b", "c"), 0, Cause.ASKED))
            await peers.with_a.wait()
            if defect:
                await holder.wait_idle()
            nursery.cancel_scope.cancel()
    snapshot = peers.round.snapshot(trio.current_time())
    assert [(hop.to_node, hop.reason) for hop in snapshot.hops] == [("c", "down"), ("", reason)]
    peers.round.expire(trio.current_time() + 60)
    assert peers.round.finished is not None
    assert peers.round.finished.outcome is RoundOutcome.INCOMPLETE
