"""What a check says about a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from gossipnode.sim.history.history import History


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that should not be so."""

    check: str
    time: float
    text: str
    """One line that names the key, node or round, and what was seen in place of what."""
    operations: tuple[int, ...] = ()
    """The numbers of the operations that show it."""


@dataclass(slots=True)
class Verdict:
    """What one check found in one history."""

    check: str
    times: int = 0
    """How many things were checked. A check that never checked anything proves nothing."""
    violations: list[Violation] = field(default_factory=list[Violation])

    def fails(self, holds: bool) -> bool:
        """Count one thing that was checked. Gives whether it does not hold, so that `add` must follow."""
        self.times += 1
        return not holds

    def add(self, time: float, text: str, operations: Iterable[int] = ()) -> None:
        """Say what does not hold."""
        self.violations.append(Violation(self.check, round(time, 6), text, tuple(operations)))


Check: TypeAlias = Callable[[History, Verdict], None]
