"""The wall clocks of the machines, each right or wrong in its own way.

All of them follow from Trio's virtual time and from nothing else. Two reads at one virtual instant therefore
give the same value, unlike those of a real clock: a run must not depend on how often somebody reads a clock.
Code that needs each stamp to be new has to see to it by itself, as the hybrid clock does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

DAY_ONE = 1_800_000_000 * 1_000_000_000
"""What every clock says at the beginning, in nanoseconds since 1970."""

SECOND = 1_000_000_000
MILLION = 1_000_000


@dataclass(slots=True)
class _Clock:
    wrong_by: int = 0
    """By how many nanoseconds it was ahead at `since`."""
    drift: int = 0
    """How many microseconds it gains in a second."""
    since: int = 0
    """Nanoseconds of virtual time."""


class Clocks:
    """A wall clock for each machine, by its name. A machine that was never named has a right one."""

    def __init__(self) -> None:
        """All clocks are right."""
        self._clocks: dict[str, _Clock] = {}

    def wall_clock(self, name: str) -> Callable[[], int]:
        """The clock of a machine: it gives nanoseconds since 1970."""
        clock = self._clocks.setdefault(name, _Clock())
        return lambda: max(0, DAY_ONE + _now() + _wrong_by(clock))

    def skew(self, name: str, seconds: float) -> None:
        """Set a clock ahead by this much; behind, if that is negative. It drifts on as before."""
        self._set(name, wrong_by=_nanoseconds(seconds))

    def jump(self, name: str, seconds: float) -> None:
        """Set a clock forward by this much; back, if that is negative. It drifts on as before."""
        self._set(name, jump=_nanoseconds(seconds))

    def drift(self, name: str, parts_per_million: int) -> None:
        """Let a clock run faster or slower from now on. What it says now stays.

        Raises:
            ValueError: the clock would stand still, or run backwards.
        """
        if parts_per_million <= -MILLION:
            raise ValueError(f"a clock that drifts by {parts_per_million} parts per million does not run")
        self._set(name, drift=parts_per_million)

    def right(self, name: str) -> None:
        """Set a clock right, and let it run right from now on."""
        self._set(name, wrong_by=0, drift=0)

    def is_right(self, name: str) -> bool:
        """Whether a clock is right, and runs right."""
        clock = self._clocks.setdefault(name, _Clock())
        return not clock.drift and not clock.wrong_by

    def _set(
        self, name: str, *, wrong_by: int | None = None, jump: int = 0, drift: int | None = None
    ) -> None:
        clock = self._clocks.setdefault(name, _Clock())
        # What it has gained by its drift so far is kept, unless the clock is set.
        clock.wrong_by = (_wrong_by(clock) if wrong_by is None else wrong_by) + jump
        clock.drift = clock.drift if drift is None else drift
        clock.since = _now()


def _now() -> int:
    return int(trio.current_time() * SECOND)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * SECOND)


def _wrong_by(clock: _Clock) -> int:
    return clock.wrong_by + (_now() - clock.since) * clock.drift // MILLION
