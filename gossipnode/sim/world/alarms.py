"""Calls that are due at a time, without a task that waits for each of them.

A clock of ours rings them itself, when it gets to their time: that costs a fraction of a sleep. Under any
other clock, one task sleeps for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

import trio
from trio.lowlevel import current_clock, spawn_system_task

from gossipnode.concurrency.waker import Waker


class Alarms:
    """Calls by the time at which they are due, and in the order in which they were asked for."""

    def __init__(self) -> None:
        """None is set."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = count()

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Have `call` called at a time. It must neither wait nor raise."""
        heappush(self._due, (time, next(self._count), call))

    async def sleep_until(self, time: float) -> None:
        """Sleep until a time, as `trio.sleep_until` does, at a fourth of its cost: nothing is cancelled."""
        waker = Waker()
        self.at(time, waker.wake)
        await waker.sleep()

    @property
    def next_at(self) -> float:
        """When the next one is due; infinity if none is set."""
        return self._due[0][0] if self._due else inf

    def ring(self, now: float) -> None:
        """Call what is due by now."""
        while self._due and self._due[0][0] <= now:
            heappop(self._due)[2]()


class RingingClock(trio.abc.Clock):
    """A clock that rings alarms."""

    def __init__(self) -> None:
        """With no alarm set."""
        self.alarms = Alarms()


class TaskAlarms(Alarms):
    """Alarms that a task rings. It is there once the first one is set, and lives as long as the Trio run."""

    def __init__(self) -> None:
        """None is set, and nothing runs."""
        super().__init__()
        self._sleep: trio.CancelScope | None = None

    def at(self, time: float, call: Callable[[], None]) -> None:
        """See `Alarms.at`."""
        super().at(time, call)
        if self._sleep is None:
            self._sleep = trio.CancelScope()
            spawn_system_task(self._run)
        self._sleep.deadline = min(self._sleep.deadline, time)

    async def _run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self.next_at) as self._sleep:
                await trio.sleep_forever()
            self.ring(trio.current_time())


def alarms_of_run() -> Alarms:
    """Alarms for the Trio run that we are in."""
    clock = current_clock()
    return clock.alarms if isinstance(clock, RingingClock) else TaskAlarms()
