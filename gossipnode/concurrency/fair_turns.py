"""A few places for long work whose pace somebody else sets, such as answers that a client reads.

First come, first served. While others wait, a holder whose counterpart takes nothing for too long loses its
place: a reader that stops costs itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


class StalledError(Exception):
    """Nothing was taken for too long, while others waited for the place."""


class Turn:
    """A place that is held."""

    __slots__ = ("scope", "taken_at")

    def __init__(self) -> None:
        """The counterpart is given the whole time from now on."""
        self.scope = trio.CancelScope()
        self.taken_at = trio.current_time()
        """When the counterpart last took something."""

    def took(self) -> None:
        """The counterpart has taken something."""
        self.taken_at = trio.current_time()


class FairTurns:
    """Gives places in the order asked."""

    def __init__(self, count: int, *, stalled_seconds: float) -> None:
        """`count` places. A holder may stall for `stalled_seconds` while others wait."""
        self._count = count
        self._stalled_seconds = stalled_seconds
        self._held: set[Turn] = set()
        self._waiting: deque[trio.Event] = deque()
        # Places that were handed to a waiting task which has not run since.
        self._handed = 0

    @property
    def held(self) -> int:
        """How many places are held now."""
        return len(self._held)

    @asynccontextmanager
    async def hold(self) -> AsyncGenerator[Turn]:
        """Wait for a place, and hold it as long as the block lasts.

        Raises:
            StalledError: `Turn.took` was not called for too long while others waited.
        """
        await self._turn()
        place = Turn()
        self._held.add(place)
        try:
            with place.scope:
                yield place
        finally:
            self._held.discard(place)
            self._pass_on()
        if place.scope.cancelled_caught:
            raise StalledError(f"nothing was taken for {self._stalled_seconds:g} s while others waited")

    async def _turn(self) -> None:
        if not self._waiting and len(self._held) + self._handed < self._count:
            return
        turn = trio.Event()
        self._waiting.append(turn)
        try:
            while not turn.is_set():
                with trio.move_on_at(self._end_stalled()):
                    await turn.wait()
        except trio.Cancelled:
            if turn.is_set():  # handed to this task after its cancellation, before it could run
                self._handed -= 1
                self._pass_on()
            else:
                self._waiting.remove(turn)
            raise
        self._handed -= 1

    def _pass_on(self) -> None:
        """A place is free: hand it to the task that has waited longest."""
        if self._waiting:
            self._handed += 1
            self._waiting.popleft().set()
        assert 0 <= self._handed + len(self._held) <= self._count

    def _end_stalled(self) -> float:
        """End the holder that has stalled longest, if that is too long; gives when to look again."""
        now = trio.current_time()
        live = [place for place in self._held if not place.scope.cancel_called]
        oldest = min((place.taken_at for place in live), default=math.inf)
        due = oldest + self._stalled_seconds
        if due > now:
            return min(due, now + self._stalled_seconds)
        next(place for place in live if place.taken_at == oldest).scope.cancel()
        return now + self._stalled_seconds
