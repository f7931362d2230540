"""Messages of rounds, rounds at their origin, and reports of holders."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Forwarded, Hop, OpenRound, Report, Then
from gossipnode.core.ring.turn import Cause, HopEnd, RoundMessage
from tests.core.support import SHARD

EQUAL, REPAIRED, SKIPPED, FAILED = HopEnd.EQUAL, HopEnd.REPAIRED, HopEnd.SKIPPED, HopEnd.FAILED
DEADLINE = 600.0


def opened(*nodes: str, now: float = 0.0) -> OpenRound:
    return OpenRound("r", SHARD, "o", nodes, started_at=17, now=now, deadline_seconds=DEADLINE)


def report(holder: str, count: int, then: Then, *hops: tuple[str, HopEnd]) -> Report:
    made = tuple(Hop(holder, to_node, end) for to_node, end in hops)
    return Report("r", SHARD, holder, count, made, then)


def forwarded(holder: str, count: int, to: str, end: HopEnd = EQUAL, *, foreign: bool = False) -> Report:
    return report(holder, count, Forwarded(to, foreign), (to, end))


def complaints(round_: OpenRound) -> list[tuple[str, str]]:
    assert round_.finished is not None
    return [(hop.from_node, hop.reason) for hop in round_.finished.hops if not hop.to_node]


def message(
    *nodes: str,
    count: int = 0,
    origin: str = "a",
    round_: str = "r",
    cause: Cause = Cause.SCHEDULED,
    shard: ShardId = SHARD,
) -> RoundMessage:
    return RoundMessage(round_, shard, origin, nodes, count, cause)
