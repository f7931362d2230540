"""The clock of this node: hybrid stamps near the wall clock, which is handed in."""

from __future__ import annotations

from collections.abc import Callable

from gossipnode.core.model.property import Record
from gossipnode.core.model.version import HybridClock


class Clock:
    """Gives the stamps of new versions. See `core.model.version.HybridClock` for the rule."""

    __slots__ = ("_hybrid", "_wall_clock")

    def __init__(self, wall_clock: Callable[[], int], last: int = 0) -> None:
        """`wall_clock` gives nanoseconds since 1970; `last` is the largest stamp that the store has kept."""
        self._wall_clock = wall_clock
        self._hybrid = HybridClock(last)

    @property
    def last(self) -> int:
        """The largest stamp given or seen, in nanoseconds."""
        return self._hybrid.last

    def now(self) -> int:
        """The wall clock, in nanoseconds since 1970."""
        return self._wall_clock()

    def next(self, *, above: int = 0) -> int:
        """A fresh stamp, above `above` and above every stamp given or seen before."""
        return self._hybrid.next(self._wall_clock(), above=above)

    def next_over(self, replaced: Record | None) -> int:
        """A fresh stamp for the version that takes the place of `replaced` (None: of nothing)."""
        return self.next(above=0 if replaced is None else replaced.version.stamp)

    def saw(self, stamp: int) -> bool:
        """Take note of a peer's stamp. One that is too far ahead leaves the clock alone, and gives False."""
        return self._hybrid.saw(stamp, self._wall_clock())
