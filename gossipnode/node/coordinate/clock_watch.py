"""What other members say of this node's clock: whether it is too far ahead to stamp anything by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import structlog
import trio

from gossipnode.core.model.clock_skew import span_text
from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.node.local.clock import Clock

WRONG_CLOCK_LOG_SECONDS = 60.0
"""How often a clock that is wrong is told of in the log, at most."""


class _Told(NamedTuple):
    """A member's clock in nanoseconds, as of a moment of our own timer."""

    clock: int
    at: float


class ClockWatch:
    """Remembers which members refused our stamps, because our clock is too far ahead of theirs."""

    def __init__(self, own_name: str, clock: Clock, others: Callable[[], int]) -> None:
        """`others` gives how many other members there are."""
        self._own_name = own_name
        self._clock = clock
        self._others = others
        self._told: dict[str, _Told] = {}
        self._logged_at = -WRONG_CLOCK_LOG_SECONDS
        self._log = structlog.get_logger("gossipnode.coordinator")

    def agreed(self, member: str) -> None:
        """A member took a stamp of ours."""
        self._told.pop(member, None)

    def refused(self, member: str, clock: int) -> None:
        """A member whose clock is `clock` takes no stamp of ours."""
        self._told[member] = _Told(clock, trio.current_time())
        problem = self.problem()
        if problem and trio.current_time() - self._logged_at >= WRONG_CLOCK_LOG_SECONDS:
            self._logged_at = trio.current_time()
            self._log.error("the clock of this node is wrong: it stamps nothing", reason=problem)

    def problem(self) -> str:
        """Why our clock is wrong, in words; "" where fewer than half of the other members say so now."""
        now, timer = self._clock.now(), trio.current_time()
        ahead = {
            member: now - told.clock - int((timer - told.at) * 1e9) for member, told in self._told.items()
        }
        ahead = {member: span for member, span in ahead.items() if span > MAX_CLOCK_SKEW_NANOSECONDS}
        if not ahead or 2 * len(ahead) < self._others():
            return ""
        spans = ", ".join(f"{span_text(ahead[member])} ahead of {member}'s" for member in sorted(ahead))
        return f"{self._own_name}'s clock is {spans}: set it right; nothing was written"
