"""How much of what others send is worked on in one turn of the loop, and in which order.

Trio runs all tasks that are ready before it looks at a socket again. A peer that makes thousands of tasks
ready at once, each with some milliseconds of work, would keep everybody else out for the sum of it. So such
work is counted before it is done, and beyond a bound it waits for the next turn. The order is fair: who asks
for little goes first, as if each caller had a loop of its own, slower by the number of callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final

import trio
from trio.lowlevel import Abort, RaiseCancelT, RunVar, Task, current_task, reschedule, wait_task_rescheduled

from gossipnode.concurrency.shares import Caller

TURN_BYTES: Final = 32 << 10
"""What is worked on in one turn. A hostile byte costs a microsecond or two, an honest one far less."""


@dataclass(slots=True)
class _AskedTurn:
    """A task that waits for a turn; without a task, one that has given up."""

    finish: int
    number: int
    size: int
    task: Task | None

    def __lt__(self, other: _AskedTurn) -> bool:
        return (self.finish, self.number) < (other.finish, other.number)


class LoopTurns(trio.abc.Instrument):
    """The turns of one loop. As an instrument of Trio it learns when the next one begins."""

    __slots__ = ("_finishes", "_left", "_now", "_numbers", "_queue", "_turn_bytes", "_turning")

    def __init__(self, turn_bytes: int = TURN_BYTES) -> None:
        """`turn_bytes` is what is worked on in one turn. The last one of a turn may go beyond it."""
        self._turn_bytes = turn_bytes
        self._left = turn_bytes
        self._queue: list[_AskedTurn] = []
        self._numbers = count()
        # How far each caller's own loop would be, and how far the one is whose turn it was last.
        self._finishes: dict[Caller, int] = {}
        self._now = 0
        self._turning = False

    @property
    def full(self) -> bool:
        """Whether some wait, so that large work had better be cut into small parts."""
        return self._turning

    async def spend(self, caller: Caller, size: int) -> None:
        """Return when the work on `size` bytes of `caller` may begin: mostly at once, without a checkpoint.

        A size stands for work: what costs more for a byte counts for more bytes.
        """
        if self._left > 0 and not self._turning:
            self._left -= size
            return
        finish = self._finishes[caller] = max(self._now, self._finishes.get(caller, 0)) + size
        waiting = _AskedTurn(finish, next(self._numbers), size, current_task())
        heappush(self._queue, waiting)
        if not self._turning:
            self._turning = True
            trio.lowlevel.current_trio_token().run_sync_soon(self._next_turn)

        def abort(_: RaiseCancelT) -> Abort:
            waiting.task = None
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)

    def after_io_wait(self, timeout: float) -> None:
        """Trio is about to run all tasks that are ready: a turn begins."""
        del timeout
        if not self._turning:
            self._left = self._turn_bytes

    def _next_turn(self) -> None:
        """Let those go on who fit into a new turn, and look again in the next one while others wait."""
        self._left = self._turn_bytes
        while self._queue and self._left > 0:
            waiting = heappop(self._queue)
            if waiting.task is None:
                continue
            self._now = waiting.finish
            self._left -= waiting.size
            reschedule(waiting.task)
        if self._queue:
            trio.lowlevel.current_trio_token().run_sync_soon(self._next_turn)
            return
        self._turning = False
        self._finishes.clear()
        self._now = 0


_TURNS: RunVar[LoopTurns] = RunVar("loop turns")


def loop_turns() -> LoopTurns:
    """The turns of the loop that runs now. All connections in it share them, as they share the loop."""
    try:
        return _TURNS.get()
    except LookupError:
        turns = LoopTurns()
        _TURNS.set(turns)
        trio.lowlevel.add_instrument(turns)
        return turns
