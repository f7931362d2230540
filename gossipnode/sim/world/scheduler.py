"""The order of tasks, from a seed: which task runs next, which machine stands still, and what the time is.

Trio runs its tasks in batches and shuffles each batch. Here the queue that it takes its batches from is
replaced by one that sorts them by the age of the tasks and shuffles them with the seed's own randomness, so
that neither addresses of objects nor the order of sets has a say. A task belongs to the machine in whose name
it was started (`MACHINE`). The tasks of a machine that is stopped are put aside, as those of a process that
was sent SIGSTOP: they run when it goes on, and find that their deadlines have passed.

Time passes only when no task can run; then it jumps to the next deadline. Nothing here waits for real time.
"""

from __future__ import annotations

import importlib
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from operator import attrgetter
from typing import Any, Final

import trio

from gossipnode.sim.world.alarms import RingingClock

MACHINE: Final[ContextVar[str]] = ContextVar("gossipnode_machine", default="")
"""The machine in whose name a task runs; empty for what stands outside, such as the scenario itself."""

STEPS_AT_ONE_TIME_MAX: Final = 2_000_000
"""Steps of tasks in which time may stand still. More of them mean that something spins."""

SLOW_STEPS: Final = 20
"""Of the batches in which a slow machine has work, one in this many has a step that takes long."""

OUTSIDE_WAIT_SECONDS: Final = 0.1
OUTSIDE_WAITS_MAX: Final = 50
"""How long, in real time, and how often in a row Trio may wait for something outside, such as its own end."""

_age = attrgetter("_counter")


class VirtualClock(RingingClock):
    """A clock that jumps to the next deadline as soon as nothing is left to do before it."""

    def __init__(self) -> None:
        """Begin at 0 seconds."""
        super().__init__()
        self.now = 0.0
        self._waits = 0
        self.on_stuck: Callable[[str], None] = _nothing
        """Told once nothing can happen any more, and why."""

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Be at the deadline, or at the next alarm. Trio asks only when no task can run."""
        deadline = min(deadline, self.alarms.next_at)
        if deadline == float("inf"):
            self._waits += 1
            if self._waits == OUTSIDE_WAITS_MAX:
                self.on_stuck("every task waits for another one, and no deadline is left")
            return OUTSIDE_WAIT_SECONDS
        self._waits = 0
        self.now = max(self.now, deadline)
        self.alarms.ring(self.now)
        return 0.0


class Scheduler(deque[Any]):
    """The queue of tasks that can run, in place of Trio's own. `seeded_scheduler` puts it there."""

    def __init__(self, rng: random.Random, clock: VirtualClock, tasks: set[Any]) -> None:
        """Order tasks by `rng`. `tasks` are all that there are."""
        super().__init__()
        self._tasks = tasks
        self._rng = rng
        self._clock = clock
        self._stopped: dict[str, list[Any]] = {}
        # When each machine that is stopped goes on by itself.
        self._goes_on: dict[str, float] = {}
        self._slow: dict[str, float] = {}
        self._timer = trio.Event()
        self._wakes_timer = False
        self._stuck = ""
        self._last_time: float = -1.0
        self._steps_since = 0
        self.steps = 0
        """Steps of all tasks so far."""
        self.steps_of: dict[str, int] | None = None
        """Steps of the tasks of each machine while they are counted, see `count_steps`."""

    def __iter__(self) -> Iterator[Any]:
        """The next batch, in the order in which Trio is to have it."""
        batch = list(super().__iter__())
        if len(batch) > 1:
            batch.sort(key=_age)
            self._rng.shuffle(batch)
        if self._stopped or self._slow:
            batch = [task for task in batch if self._may_run(task)]
        self._count(batch)
        return iter(batch)

    def clear(self) -> None:
        """Trio has taken the batch."""
        super().clear()
        if self._stuck:
            stuck, self._stuck = self._stuck, ""
            self._clock.on_stuck(stuck)
        if self._wakes_timer:
            self._wakes_timer = False
            self._timer.set()

    def _may_run(self, task: Any) -> bool:
        machine = task.context.get(MACHINE, "")
        aside = self._stopped.get(machine)
        if aside is not None:
            aside.append(task)
            return False
        seconds = self._slow.get(machine)
        if seconds is not None and self._rng.randrange(SLOW_STEPS) == 0:
            # This step still runs; everything after it waits as long as the step is said to take.
            self._stopped[machine] = []
            self._goes_on[machine] = self._clock.now + seconds
            self._wakes_timer = True
        return True

    def _count(self, batch: list[Any]) -> None:
        self.steps += len(batch)
        if self._clock.now != self._last_time:
            self._last_time, self._steps_since = self._clock.now, 0
        self._steps_since += len(batch)
        if self._steps_since > STEPS_AT_ONE_TIME_MAX:
            names = sorted({task.name for task in batch})
            self._stuck = f"time stands still at {self._clock.now:.3f} s: {', '.join(names[:5])} spin"
            self._steps_since = 0
        if self.steps_of is not None:
            for task in batch:
                machine = task.context.get(MACHINE, "")
                self.steps_of[machine] = self.steps_of.get(machine, 0) + 1

    def count_steps(self) -> dict[str, int]:
        """Count the steps of each machine from now on, in the mapping that is returned."""
        self.steps_of = {}
        return self.steps_of

    def stop(self, machine: str) -> None:
        """Let the tasks of a machine stand still until `go_on`. Harmless when repeated."""
        self._stopped.setdefault(machine, [])
        self._goes_on.pop(machine, None)

    def go_on(self, machine: str) -> None:
        """Let the tasks of a machine run again. Harmless if it runs."""
        self._goes_on.pop(machine, None)
        self.extend(self._stopped.pop(machine, ()))

    def let_all_go_on(self) -> None:
        """Let the tasks of all machines run from now on, and none of them be slow."""
        self._slow.clear()
        for machine in list(self._stopped):
            self.go_on(machine)

    def stops(self, machine: str) -> bool:
        """Whether a machine stands still until somebody lets it go on."""
        return machine in self._stopped and machine not in self._goes_on

    def slow(self, machine: str, seconds: float) -> None:
        """Let some steps of a machine take `seconds`, in which nothing else runs on it; 0: no more."""
        if seconds:
            self._slow[machine] = seconds
        else:
            self._slow.pop(machine, None)
            if machine in self._goes_on:
                self.go_on(machine)

    def tasks_of(self, machine: str) -> int:
        """How many tasks a machine has."""
        return sum(task.context.get(MACHINE, "") == machine for task in self._tasks)

    async def run(self) -> None:
        """Let machines go on when their long steps are over. Runs for as long as the simulation does."""
        while True:
            due = min(self._goes_on.values(), default=float("inf"))
            if due <= self._clock.now:
                for machine in [each for each, time in self._goes_on.items() if time <= self._clock.now]:
                    self.go_on(machine)
                continue
            with trio.move_on_at(due):
                await self._timer.wait()
            self._timer = trio.Event()


def _nothing(_: str) -> None:
    return


def seeded_scheduler(rng: random.Random, clock: VirtualClock) -> Scheduler:
    """Order the tasks of the Trio run that we are in by `rng` from here on.

    Trio has no public hook for that. What is used of it is pinned by tests: the attribute `runq` of its
    runner, of which a batch is a list, the attributes `context` and `_counter` of a task, and its `_r`.
    """
    run: Any = importlib.import_module("trio._core._run")
    runner = run.GLOBAL_RUN_CONTEXT.runner
    scheduler = Scheduler(rng, clock, runner.tasks)
    scheduler.extend(runner.runq)
    runner.runq = scheduler
    run._r.seed(rng.getrandbits(64))
    return scheduler
