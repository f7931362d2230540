"""The rounds that this node started: who takes the message first, what the holders report, how each ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog
import trio

from gossipnode.core.limits import KEPT_ROUNDS
from gossipnode.core.property import ShardId
from gossipnode.core.ring import Cause, RoundMessage
from gossipnode.core.rounds import OpenRound, Report, Round, RoundOutcome

ROUNDS_UNDER_WAY_MAX = 1024
"""Rounds of this node that may be under way at once; one more is refused."""

Offer = Callable[[str, RoundMessage], Awaitable[str]]
"""(node, message) -> "" when it took the message, else why not."""


class TooManyRoundsError(Exception):
    """So many rounds of this node are under way that no other may start."""


@dataclass(slots=True)
class _Entry:
    open_round: OpenRound
    changed: trio.Event = field(default_factory=trio.Event)


class Origin:
    """Starts rounds and keeps their outcomes: those under way, and the last hundred."""

    def __init__(
        self,
        own_name: str,
        *,
        wall_clock: Callable[[], int],
        new_round_id: Callable[[], str],
        deadline_seconds: float,
    ) -> None:
        """`deadline_seconds` is how long a holder that cannot report may keep a round open."""
        self._own_name = own_name
        self._wall_clock = wall_clock
        self._new_round_id = new_round_id
        self._deadline_seconds = deadline_seconds
        self._open: dict[str, _Entry] = {}
        self._finished: deque[Round] = deque(maxlen=KEPT_ROUNDS)
        self._last_converged: dict[ShardId, int] = {}
        self._log = structlog.get_logger("gossipnode.round")

    def open(self, shard: ShardId, nodes: Sequence[str], cause: Cause) -> RoundMessage:
        """Open a round over `nodes`; `run` then carries it.

        Raises:
            TooManyRoundsError: see `ROUNDS_UNDER_WAY_MAX`.
        """
        if len(self._open) >= ROUNDS_UNDER_WAY_MAX:
            raise TooManyRoundsError(f"{len(self._open)} rounds are under way: wait until some have ended")
        round_id = self._new_round_id()
        self._open[round_id] = _Entry(
            OpenRound(
                round_id,
                shard,
                self._own_name,
                nodes,
                started_at=self._wall_clock(),
                now=trio.current_time(),
                deadline_seconds=self._deadline_seconds,
            )
        )
        return RoundMessage(round_id, shard, self._own_name, tuple(nodes), 0, cause)

    async def run(self, message: RoundMessage, offer: Offer) -> Round:
        """Hand the message to the first node that takes it, and wait until the round is over."""
        entry = self._open[message.round]
        log = self._log.bind(
            round=message.round, group=message.shard.group, shard=message.shard.shard, hop=0, peer=""
        )
        log.info("round started", cause=message.cause.value, nodes=list(message.nodes))
        try:
            if entry.open_round.finished is None:
                await self._hand_out(message, offer, entry.open_round)
            await self._wait(entry)
        except trio.Cancelled:
            entry.open_round.abandon("the origin is stopping", trio.current_time())
            raise
        finally:
            del self._open[message.round]
            finished = entry.open_round.finished
            if finished is not None:
                self._keep(finished)
            entry.changed.set()
        assert finished is not None
        outcome = finished.outcome.value if finished.outcome else ""
        log.info("round ended", outcome=outcome, seconds=round(finished.seconds, 3), hops=len(finished.hops))
        return finished

    async def _hand_out(self, message: RoundMessage, offer: Offer, open_round: OpenRound) -> None:
        problem = "it has no replica"
        for node in message.nodes:
            # Said before the call: the holder may report before the call comes back.
            open_round.taken_by(node, trio.current_time())
            problem = await offer(node, message)
            if not problem:
                return
            self._log.warning("round not taken", round=message.round, peer=node, reason=problem)
        open_round.abandon(f"no replica takes the round: {problem}", trio.current_time())

    async def _wait(self, entry: _Entry) -> None:
        while entry.open_round.finished is None:
            with trio.move_on_at(entry.open_round.expires):
                await entry.changed.wait()
                continue
            entry.open_round.expire(trio.current_time())

    def _keep(self, finished: Round) -> None:
        self._finished.appendleft(finished)
        if finished.outcome in (RoundOutcome.CONVERGED, RoundOutcome.REPAIRED):
            # Repaired: every hop finished and left nothing out, so all were equal but for later writes.
            self.converged(finished.shard)

    def converged(self, shard: ShardId) -> None:
        """Remember that all replicas of a shard were found equal just now."""
        self._last_converged[shard] = self._wall_clock()

    def report(self, report: Report) -> None:
        """Take what a holder reports. One of a round that we do not know, or that is over, is dropped."""
        for round_id, entry in list(self._open.items()):
            open_round = entry.open_round
            if round_id == report.round or (not report.round and open_round.shard == report.shard):
                open_round.report(report, trio.current_time())
                changed, entry.changed = entry.changed, trio.Event()
                changed.set()
                return

    async def wait_change(self, round_id: str) -> None:
        """Return at the next report of a round under way, or at once when it is over."""
        entry = self._open.get(round_id)
        if entry is None:
            await trio.lowlevel.checkpoint()
        else:
            await entry.changed.wait()

    def get(self, round_id: str) -> Round | None:
        """A round under way or remembered."""
        entry = self._open.get(round_id)
        if entry is not None:
            return entry.open_round.snapshot(trio.current_time())
        return next((known for known in self._finished if known.round == round_id), None)

    def rounds(self) -> list[Round]:
        """Rounds under way and finished ones, newest first."""
        now = trio.current_time()
        under_way = [entry.open_round.snapshot(now) for entry in self._open.values()]
        return sorted([*under_way, *self._finished], key=lambda known: known.started_at, reverse=True)

    def last_converged(self, shard: ShardId) -> int:
        """When all replicas of a shard were last found equal: nanoseconds since 1970, 0 for never."""
        return self._last_converged.get(shard, 0)
