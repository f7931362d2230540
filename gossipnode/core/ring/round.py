"""A round as its origin knows it: what each holder reported, when the round is over, and what came of it.

Holders report to the origin, but a foreign holder does not, and a holder may die. The origin ends the round
all the same, and its outcome never claims more than the reports show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import EndRound, HopEnd, hop_limit

SILENCE_MAX_SECONDS = 30.0
"""A holder of our own reports every few seconds. One that is silent for this long counts as gone."""

LATE_REPORT_SECONDS = 5.0
"""How long a round waits for the reports of earlier holders after the last holder has reported the end.

Every report is a call of its own, so an earlier one may arrive later.
"""


@dataclass(frozen=True, slots=True)
class Hop:
    """A holder's try with one successor.

    `sent`, `received` and `skipped` count records; the bytes are those of the messages on the stream.
    """

    from_node: str
    to_node: str
    end: HopEnd
    reason: str = ""
    session: str = "tree"
    sent: int = 0
    received: int = 0
    skipped: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0

    @property
    def successful(self) -> bool:
        """Whether the message could move on, so that the hop counts."""
        return self.end in (HopEnd.EQUAL, HopEnd.REPAIRED)

    @property
    def complete(self) -> bool:
        """Whether both sides hold the same now: its session ended well and left no record out."""
        return self.successful and not self.skipped


class RoundOutcome(Enum):
    """What came of a round."""

    CONVERGED = "converged"
    """Every hop was equal."""
    REPAIRED = "repaired"
    """Every hop finished and left no replica and no record out."""
    INCOMPLETE = "incomplete"
    """A replica or a record was left out; the hops say why."""
    NOT_NEEDED = "not needed"
    """A scheduled round that was not made, because one of another origin had just ended well."""

    @property
    def good(self) -> bool:
        """Whether the replicas were equal at the end of the round."""
        return self in (RoundOutcome.CONVERGED, RoundOutcome.REPAIRED)


@dataclass(frozen=True, slots=True)
class InSession:
    """A sign of life: the holder is still in a session with `peer`."""

    peer: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The holder handed the message to `peer`. A foreign peer will not report."""

    peer: str
    foreign: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The round ended with this holder. `reason` is empty when its hops were used up."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotNeeded:
    """The first holder does not make the round, because another one has just ended well."""

    reason: str


Then: TypeAlias = InSession | Forwarded | Ended | NotNeeded
"""What a holder does next."""


@dataclass(frozen=True, slots=True)
class EndedWell:
    """What an origin tells the replicas of a shard: a round of its own has left all of them equal."""

    round: str
    shard: ShardId


@dataclass(frozen=True, slots=True)
class Report:
    """What a holder tells the origin. `count` is the count of the message when the holder got it."""

    round: str
    shard: ShardId
    holder: str
    count: int
    hops: tuple[Hop, ...]
    then: Then


@dataclass(frozen=True, slots=True)
class Round:
    """A round. While it is under way `outcome` is None. `started_at` is in nanoseconds since 1970."""

    round: str
    shard: ShardId
    origin: str
    started_at: int
    outcome: RoundOutcome | None
    seconds: float
    hops: tuple[Hop, ...]


def outcome_of(hops: Iterable[Hop]) -> RoundOutcome:
    """The outcome of a round in which exactly these hops were made."""
    known = tuple(hops)
    if any(not hop.complete for hop in known):
        return RoundOutcome.INCOMPLETE
    if all(hop.end is HopEnd.EQUAL for hop in known):
        return RoundOutcome.CONVERGED
    return RoundOutcome.REPAIRED


class OpenRound:
    """A round under way, at its origin. Times are in seconds, of any clock that only goes forward."""

    __slots__ = (
        "_began",
        "_deadline_seconds",
        "_expires",
        "_final_count",
        "_finished",
        "_furthest",
        "_handed",
        "_hops",
        "_nodes",
        "_not_needed",
        "_origin",
        "_round",
        "_shard",
        "_started_at",
        "_waiting_for",
    )

    def __init__(
        self,
        round_id: str,
        shard: ShardId,
        origin: str,
        nodes: Sequence[str],
        *,
        started_at: int,
        now: float,
        deadline_seconds: float,
    ) -> None:
        """Open a round over `nodes`. A foreign holder may stay silent for `deadline_seconds`."""
        self._round = round_id
        self._shard = shard
        self._origin = origin
        self._nodes = tuple(nodes)
        self._started_at = started_at
        self._began = now
        self._deadline_seconds = deadline_seconds
        self._expires = now + SILENCE_MAX_SECONDS
        self._waiting_for = nodes[0] if nodes else origin
        self._furthest = 0
        self._handed = {(0, self._waiting_for)}
        self._hops: dict[tuple[int, str], tuple[Hop, ...]] = {}
        self._final_count: int | None = None
        self._finished: Round | None = None
        self._not_needed = False
        if hop_limit(len(self._nodes)) == 0:
            self._finish(now)

    @property
    def shard(self) -> ShardId:
        """The shard that the round repairs."""
        return self._shard

    @property
    def expires(self) -> float:
        """When `expire` must be called. A report that comes before then may change it."""
        return self._expires

    @property
    def finished(self) -> Round | None:
        """The round if it is over, else None."""
        return self._finished

    def snapshot(self, now: float) -> Round:
        """The round as it stands now."""
        if self._finished is not None:
            return self._finished
        hops = self._ordered()
        return Round(self._round, self._shard, self._origin, self._started_at, None, now - self._began, hops)

    def taken_by(self, node: str, now: float, *, foreign: bool = False) -> None:
        """Note that the first holder has the message. Its report may have come before this is known."""
        if self._finished is None and not self._hops and self._furthest == 0:
            self._handed = {(0, node)}
            silence = self._deadline_seconds if foreign else SILENCE_MAX_SECONDS
            self._wait_for(node, 0, now + silence)

    def report(self, report: Report, now: float) -> None:
        """Take what a holder reports.

        A report changes nothing if it came before, if the round is over, or if no holder of this round can
        have sent it. A report that comes after that of a later holder moves no deadline.
        """
        key = (report.count, report.holder)
        limit = hop_limit(len(self._nodes))
        if report.holder not in self._nodes or not 0 <= report.count < limit:
            return
        if self._finished is not None or key in self._hops:
            return
        then = report.then
        if isinstance(then, InSession):
            if self._final_count is None and report.count >= self._furthest:
                self._wait_for(report.holder, report.count, now + SILENCE_MAX_SECONDS)
            return
        if isinstance(then, NotNeeded):
            if not self._hops and report.count == self._furthest == 0:
                self._not_needed = True
                self._finish(now)
            return
        self._hops[key] = report.hops
        reached = report.count + sum(hop.successful for hop in report.hops)
        if isinstance(then, Forwarded):
            self._handed.add((reached, then.peer))
            if self._final_count is None and reached > self._furthest:
                silence = self._deadline_seconds if then.foreign else SILENCE_MAX_SECONDS
                self._wait_for(then.peer, reached, now + silence)
        else:
            self._final_count = reached
            self._expires = now + LATE_REPORT_SECONDS
            reason = then.reason
            explained = not all(hop.successful for hop in report.hops)
            if explained and reason == EndRound.NO_SUCCESSOR:
                reason = ""
            elif not explained and not reason and reached < limit:
                # A holder that knows fewer members than we do ends the round after fewer hops.
                reason = f"ended after {reached} of {limit} hops"
            if reason:
                self._complain(report.holder, reason)
        if self._final_count is not None and self._successes() >= self._final_count:
            self._finish(now)

    def expire(self, now: float) -> None:
        """End the round if the report that it waits for has not come in time."""
        if self._finished is not None or now < self._expires:
            return
        if self._final_count is None:
            self._complain(self._waiting_for, f"holder {self._waiting_for} does not report")
        else:
            for node in self._silent_holders():
                self._complain(node, f"holder {node} does not report")
        self._finish(now)

    def abandon(self, reason: str, now: float) -> None:
        """End the round because of something that happened at the origin."""
        if self._finished is None:
            self._complain(self._origin, reason)
            self._finish(now)

    def _wait_for(self, holder: str, count: int, until: float) -> None:
        assert self._finished is None
        assert self._final_count is None
        assert count >= self._furthest, "the message went back"
        self._waiting_for, self._furthest, self._expires = holder, count, until

    def _complain(self, node: str, reason: str) -> None:
        """Add a hop that stands for what is missing. Its key sorts after those of all reports."""
        key = (hop_limit(len(self._nodes)) + len(self._hops), node)
        assert key not in self._hops, "a report would be lost"
        self._hops[key] = (Hop(node, "", HopEnd.SKIPPED, reason),)

    def _silent_holders(self) -> list[str]:
        """The holders that got the message, as others reported, and did not report themselves."""
        silent = [node for _, node in sorted(self._handed - self._hops.keys())]
        return silent or [self._waiting_for]

    def _successes(self) -> int:
        return sum(hop.successful for hop in self._ordered())

    def _ordered(self) -> tuple[Hop, ...]:
        return tuple(hop for key in sorted(self._hops) for hop in self._hops[key])

    def _finish(self, now: float) -> None:
        assert self._finished is None, "a round ends once"
        hops = self._ordered()
        self._finished = Round(
            self._round,
            self._shard,
            self._origin,
            self._started_at,
            RoundOutcome.NOT_NEEDED if self._not_needed else outcome_of(hops),
            now - self._began,
            hops,
        )
