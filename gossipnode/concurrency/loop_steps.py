"""Long work in short steps, between which other tasks get their turn.

Steps are counted, and not timed: the same work then pauses at the same places, which a simulation needs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, TypeVar

import trio

STEPS_OF_A_TURN: Final = 16
"""Steps that are done before other tasks get their turn. Each is to take 100 microseconds at most."""

T = TypeVar("T")


class LoopSteps:
    """Counts the steps of one piece of work."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        """No step is done yet."""
        self._done = 0

    async def step(self) -> None:
        """Let other tasks run now and then. To be called after each step."""
        self._done += 1
        if self._done >= STEPS_OF_A_TURN:
            self._done = 0
            await trio.lowlevel.checkpoint()


async def in_short_steps(steps: Generator[object, None, T]) -> T:
    """Do work that yields after each of its steps; gives what it returns."""
    loop = LoopSteps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await loop.step()
