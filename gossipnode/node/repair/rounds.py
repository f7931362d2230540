"""Starting rounds: on demand, and by the schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import EndedWell, Round, RoundOutcome
from gossipnode.core.ring.turn import Cause, RoundMessage
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.node.repair.holder import Holder
from gossipnode.node.repair.neighbours import Neighbours
from gossipnode.node.repair.origin import Origin, RoundWatch
from gossipnode.node.repair.reports import Reports
from gossipnode.node.repair.schedule import Schedule, ScheduleMemory, run_schedule, utc

SCHEDULED_UNDER_WAY_MAX = 64
"""Scheduled rounds of this node that are under way at once. The next one begins as soon as one has ended."""

REPEAT_SECONDS = 600.0
"""The longest pause before a scheduled round is repeated that was incomplete; half of it is the shortest."""

REPEATS_MAX = 2
"""How often it is repeated. What is incomplete then waits for the next time of the schedule."""


@dataclass(slots=True)
class _ScheduledTime:
    """A time of the schedule."""

    due: datetime
    left: int
    """Rounds of it that are not over."""


class Rounds:
    """Starts rounds, each in a task of its own, while `run` runs."""

    def __init__(
        self,
        local: LocalState,
        origin: Origin,
        holder: Holder,
        neighbours: Neighbours,
        reports: Reports,
        schedule: Schedule | None,
        rng: Random,
    ) -> None:
        """Open rounds at `origin`; their message goes to `holder` here, or to one of `neighbours` first.

        The replicas are told by `reports` when one has ended well.
        """
        self._shards = local.shards
        self._clock = local.clock
        self._origin = origin
        self._holder = holder
        self._neighbours = neighbours
        self._reports = reports
        self._schedule = schedule
        self._memory = ScheduleMemory(local.store)
        self._rng = rng
        self._scheduled = trio.Semaphore(SCHEDULED_UNDER_WAY_MAX, max_value=SCHEDULED_UNDER_WAY_MAX)
        self._asked_for: set[ShardId] = set()
        """The shards of which a round is under way that was asked for, or called for by an event."""
        self._next: dict[ShardId, tuple[RoundMessage, RoundWatch]] = {}
        """The round of each of them that waits for the end of that one."""
        self._nursery: trio.Nursery | None = None
        self.on_ended: Callable[[Round, Cause], None] = _nobody_is_told
        """Told of each round of this node that is over."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Let rounds be started, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def follow_schedule(self) -> None:
        """Start the rounds of the schedule, if there is one, until cancelled."""
        if self._schedule is not None:
            done = await self._memory.done(utc(self._clock.now()))
            await run_schedule(
                self._schedule,
                wall_clock=self._clock.now,
                rng=self._rng,
                start=self._start_scheduled,
                done=done,
            )

    def stop(self) -> None:
        """Start no more rounds. Those under way go on."""
        self._nursery = None

    def start(self, shard: ShardId, cause: Cause) -> RoundWatch:
        """Start a round for a shard, which is not one of the schedule.

        While another one of the same shard is under way, the round waits for its end: what was written since
        that one began might not be in it. All who ask meanwhile share the round that waits. In a ring with a
        foreign peer none waits: such a peer may drop a message without a word, and its round then hangs.

        Raises:
            TooManyRoundsError: `ROUNDS_UNDER_WAY_MAX` are under way, or the node is stopping.
        """
        assert cause is not Cause.SCHEDULED, "the rounds of the schedule wait for their turn"
        nursery = self._running_nursery()
        if shard in self._next:
            return self._next[shard][1]
        message, watch = self._origin.open(shard, self._shards.ring(shard), cause)
        if self._shards.view.metadata.foreign_of(shard):
            nursery.start_soon(self._run, message, 0)
        elif shard in self._asked_for:
            self._next[shard] = message, watch
        else:
            self._asked_for.add(shard)
            nursery.start_soon(self._run_one_by_one, message)
        return watch

    def _running_nursery(self) -> trio.Nursery:
        if self._nursery is None:
            raise TooManyRoundsError("the node is stopping, and starts no round")
        return self._nursery

    async def _run_one_by_one(self, message: RoundMessage) -> None:
        """Carry a round that was asked for, and then those of its shard that were asked for meanwhile."""
        shard = message.shard
        while True:
            await self._run(message, 0)
            if shard not in self._next:
                self._asked_for.remove(shard)
                return
            message, _ = self._next.pop(shard)

    async def start_in_turn(
        self, shard: ShardId, *, tried: int = 0, time: _ScheduledTime | None = None
    ) -> None:
        """Start a round of the schedule once fewer are under way than may be, if it is still of use then.

        `tried` is how many of the same `time` of the schedule were incomplete.
        """
        await self._scheduled.acquire()
        if self._nursery is None:
            self._scheduled.release()
        elif not self._shards.holds(shard):
            self._scheduled.release()
            await self._one_is_over(time)
        else:
            message, _ = self._origin.open(shard, self._shards.ring(shard), Cause.SCHEDULED)
            self._nursery.start_soon(self._run_scheduled, message, tried, time)

    async def _run_scheduled(self, message: RoundMessage, tried: int, time: _ScheduledTime | None) -> None:
        await self._run(message, tried)
        await self._one_is_over(time)

    async def _run(self, message: RoundMessage, tried: int) -> None:
        """Carry a round. If it ends well, its replicas are told: the rounds of others are not needed then."""
        foreign = self._shards.view.metadata.foreign_of(message.shard)
        try:
            finished = await self._origin.run(message, self._offer, foreign)
        finally:
            if message.cause is Cause.SCHEDULED:
                self._scheduled.release()
        self.on_ended(finished, message.cause)
        if finished.outcome is RoundOutcome.INCOMPLETE and message.cause is Cause.SCHEDULED:
            await self._repeat(message.shard, tried)
        if finished.outcome is None or not finished.outcome.good:
            return
        ended = EndedWell(message.round, message.shard)
        for node in message.nodes:
            if node == self._shards.own_name:
                self._holder.ended_well(message.shard, node)
            elif node not in foreign:
                self._reports.tell_ended(node, ended)

    async def _repeat(self, shard: ShardId, tried: int) -> None:
        """Repeat a scheduled round that left somebody out, who may be back by then."""
        if tried < REPEATS_MAX:
            await trio.sleep(self._rng.uniform(REPEAT_SECONDS / 2, REPEAT_SECONDS))
            await self.start_in_turn(shard, tried=tried + 1)

    async def _offer(self, node: str, message: RoundMessage) -> tuple[str, bool]:
        if node == self._shards.own_name:
            self._holder.offer(message)
            return "", False
        return await self._neighbours.propagate(node, message)

    async def _start_scheduled(self, due: datetime) -> None:
        """Start a round of every shard, in an order by chance: no shard is always the last one."""
        shards = await self._shards.held()
        self._rng.shuffle(shards)
        # The one more is this task, which has not started all of them.
        time = _ScheduledTime(due, len(shards) + 1)
        for shard in shards:
            await self.start_in_turn(shard, time=time)
        await self._one_is_over(time)

    async def _one_is_over(self, time: _ScheduledTime | None) -> None:
        """Note that a round of a time of the schedule is over, whatever came of it, and remember the last."""
        if time is not None:
            time.left -= 1
            if not time.left:
                await self._memory.keep(time.due)


def _nobody_is_told(_finished: Round, _cause: Cause) -> None:
    return
