"""Notices how long the event loop stood still, because the process was stopped or its machine slept.

What is read right afterwards may have been waiting in a socket for all that time: its deadline is older than
the reading of it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

PULSE_SECONDS = 0.25
"""How often the loop is felt."""

STALL_MIN_SECONDS = 0.25
"""A pulse that comes later than this is a stall; a busy loop is late by less."""

STALL_TOLD_SECONDS = 0.1
"""How long after a stall what is read counts as having waited: a loop reads its sockets at once."""


class LoopPulse:
    """Feels the loop while `run` runs. Without it, no stall is ever noticed."""

    def __init__(self, sleep_until: Callable[[float], Awaitable[None]] = trio.sleep_until) -> None:
        """Nothing has been felt yet. `sleep_until` waits for a time of Trio's clock."""
        self._sleep_until = sleep_until
        self._due = math.inf
        self._stall_ended = -math.inf
        self._stall = 0.0

    async def run(self) -> NoReturn:
        """Feel the loop, until cancelled."""
        try:
            while True:
                self._due = trio.current_time() + PULSE_SECONDS
                await self._sleep_until(self._due)
                now = trio.current_time()
                if now - self._due > STALL_MIN_SECONDS:
                    self._stall, self._stall_ended = now - self._due + PULSE_SECONDS, now
        finally:
            self._due = math.inf

    def stalled_seconds(self) -> float:
        """For how long at most what is read now may have waited; 0 where the loop did not stand still."""
        now = trio.current_time()
        if now - self._due > STALL_MIN_SECONDS:
            return now - self._due + PULSE_SECONDS
        return self._stall if now - self._stall_ended <= STALL_TOLD_SECONDS else 0.0
