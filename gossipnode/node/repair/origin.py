"""The rounds that this node started: which node is the first holder, what holders report, how each ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.foreign_turn import first_holders
from gossipnode.core.ring.round import NotNeeded, OpenRound, Report, Round, RoundOutcome
from gossipnode.core.ring.turn import Cause, RoundMessage
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.observe.events import Events, RoundEnded
from gossipnode.observe.traces.round_spans import round_facts
from gossipnode.observe.traces.traces import NO_TRACES, Traces

ROUNDS_UNDER_WAY_MAX = 1024
"""Rounds of this node that may be under way at once; one more is refused.

Those of the schedule do not count: they wait for places of their own, see `SCHEDULED_UNDER_WAY_MAX`.
"""

KEPT_ROUNDS = 100
"""Finished rounds that a node remembers."""


Offer = Callable[[str, RoundMessage], Awaitable[tuple[str, bool]]]
"""(node, message) -> why the node did not take the message ("" if it did), and whether it is foreign."""


@dataclass(slots=True)
class RoundWatch:
    """A round of this node, for tasks that wait for its hops or its end. They may keep it after the end."""

    open_round: OpenRound
    hops_max: int
    cause: Cause
    changed: ChangeEvent = field(default_factory=ChangeEvent)
    """Tells of every report, and of the round's end."""

    def now(self) -> Round:
        """The round as it stands."""
        return self.open_round.snapshot(trio.current_time())


class Origin:
    """Starts rounds and keeps their outcomes: those under way, and the last hundred."""

    def __init__(
        self,
        own_name: str,
        *,
        wall_clock: Callable[[], int],
        new_round_id: Callable[[], str],
        deadline_seconds: float,
        events: Events | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        """`deadline_seconds` is how long a holder that cannot report may keep a round open.

        `events` is told of each round that is over. Each round is a trace of its own in `traces`.
        """
        self._traces = traces
        self._own_name = own_name
        self._wall_clock = wall_clock
        self._new_round_id = new_round_id
        self._deadline_seconds = deadline_seconds
        self._events = events or Events()
        self._open: dict[str, RoundWatch] = {}
        self._finished: deque[Round] = deque(maxlen=KEPT_ROUNDS)
        self._last_converged: dict[ShardId, int] = {}
        self.on_opened: Callable[[RoundWatch], None] = _nothing
        """Told of each round as it opens. A simulation looks on from here."""
        self._log = structlog.get_logger("gossipnode.round")

    def open(self, shard: ShardId, nodes: Sequence[str], cause: Cause) -> tuple[RoundMessage, RoundWatch]:
        """Open a round over `nodes`; `run` then carries it.

        Raises:
            TooManyRoundsError: see `ROUNDS_UNDER_WAY_MAX`.
        """
        asked_for = sum(watch.cause is not Cause.SCHEDULED for watch in self._open.values())
        if cause is not Cause.SCHEDULED and asked_for >= ROUNDS_UNDER_WAY_MAX:
            raise TooManyRoundsError(f"{asked_for} rounds are under way: wait until some have ended")
        message = RoundMessage(self._new_round_id(), shard, self._own_name, tuple(nodes), 0, cause)
        open_round = OpenRound(
            message.round,
            shard,
            self._own_name,
            nodes,
            started_at=self._wall_clock(),
            now=trio.current_time(),
            deadline_seconds=self._deadline_seconds,
        )
        watch = self._open[message.round] = RoundWatch(open_round, message.limit, cause)
        self.on_opened(watch)
        return message, watch

    async def run(self, message: RoundMessage, offer: Offer, foreign: Collection[str] = ()) -> Round:
        """Hand the message to the first node that takes it, and wait until the round is over.

        Those in `foreign` are asked after all others, see `first_holders`.
        """
        facts = {**round_facts(message), "gossipnode.cause": message.cause.value}
        with self._traces.begin("round", facts) as span:
            finished = await self._run(replace(message, trace=span.traceparent), offer, foreign)
            outcome = finished.outcome.value if finished.outcome else ""
            span.note({"gossipnode.outcome": outcome, "gossipnode.hops": len(finished.hops)})
            if finished.outcome is RoundOutcome.INCOMPLETE:
                span.failed(outcome)
            return finished

    async def _run(self, message: RoundMessage, offer: Offer, foreign: Collection[str]) -> Round:
        watch = self._open[message.round]
        open_round = watch.open_round
        log = self._log.bind(
            round=message.round, group=message.shard.group, shard=message.shard.shard, hop=0, peer=""
        )
        log.info("round started", cause=message.cause.value, nodes=list(message.nodes))
        try:
            await self._hand_out(message, offer, open_round, first_holders(message.nodes, foreign))
            await self._wait(watch)
        except Exception:
            log.exception("running a round failed")
            open_round.abandon("internal error at the origin", trio.current_time())
        except BaseException:
            # Cancelled. From the nursery of a call that comes as an exception group.
            open_round.abandon("the origin is stopping", trio.current_time())
            raise
        finally:
            del self._open[message.round]
            finished = watch.now()
            self._keep(finished)
            watch.changed.notify()
        outcome = finished.outcome.value if finished.outcome else ""
        log.info("round ended", outcome=outcome, seconds=round(finished.seconds, 3), hops=len(finished.hops))
        shard, hops = finished.shard, len(finished.hops)
        self._events.tell(
            RoundEnded(finished.round, shard.group, shard.shard, outcome, finished.seconds, hops)
        )
        return finished

    async def _hand_out(
        self, message: RoundMessage, offer: Offer, open_round: OpenRound, holders: Sequence[str]
    ) -> None:
        problem = "it has no replica"
        for node in holders:
            if open_round.finished is not None:
                # There was nothing to do, or a node took the message and only its answer was lost.
                return
            # Noted before the call, because the holder may report before the call returns.
            open_round.taken_by(node, trio.current_time())
            problem, foreign = await offer(node, message)
            if not problem:
                # The call may have taken long. The holder's time to report begins only now.
                open_round.taken_by(node, trio.current_time(), foreign=foreign)
                return
            self._log.warning("round not taken", round=message.round, peer=node, reason=problem)
        open_round.abandon(f"no replica takes the round: {problem}", trio.current_time())

    async def _wait(self, watch: RoundWatch) -> None:
        open_round = watch.open_round
        while open_round.finished is None:
            with trio.move_on_at(open_round.expires):
                await watch.changed.wait()
                continue
            open_round.expire(trio.current_time())

    def _keep(self, finished: Round) -> None:
        assert finished.outcome is not None, "a round that is not over"
        self._finished.appendleft(finished)
        if finished.outcome.good:
            # In a repaired round every hop left nothing out: all were equal then, but for later writes.
            self.converged(finished.shard)

    def converged(self, shard: ShardId) -> None:
        """All replicas of a shard were found equal just now, by a round of this node or of another one."""
        self._last_converged[shard] = self._wall_clock()

    def report(self, report: Report) -> None:
        """Take what a holder reports. A report of a round that is unknown or over is dropped.

        So is a report with a count that the round cannot reach: a holder must not decide how much is kept.
        Of a round that somebody asked for, no holder can say that it is not needed.
        """
        watch = self._open.get(report.round) if report.round else self._watch_of(report.shard)
        if watch is None or report.count >= watch.hops_max:
            return
        if not isinstance(report.then, NotNeeded) or watch.cause is Cause.SCHEDULED:
            watch.open_round.report(report, trio.current_time())
            watch.changed.notify()

    def _watch_of(self, shard: ShardId) -> RoundWatch | None:
        """The oldest round of a shard, for a report without an id: a foreign holder does not pass ids on.

        A report names no incarnation of the group either.
        """
        for watch in self._open.values():
            known = watch.open_round.shard
            if (known.group, known.shard) == (shard.group, shard.shard):
                return watch
        return None

    def rounds(self) -> list[Round]:
        """Rounds under way and finished ones, newest first."""
        under_way = [watch.now() for watch in self._open.values()]
        return sorted([*under_way, *self._finished], key=lambda known: known.started_at, reverse=True)

    @property
    def under_way(self) -> int:
        """How many rounds of this node are under way."""
        return len(self._open)

    def last_converged(self, shard: ShardId) -> int:
        """When all replicas of a shard were last found equal: nanoseconds since 1970, 0 for never."""
        return self._last_converged.get(shard, 0)


def _nothing(_: RoundWatch) -> None:
    return
