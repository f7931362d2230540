"""The clock of this node: hybrid stamps near the wall clock, which is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Record
from gossipnode.core.model.version import HybridClock


class Clock:
    """Gives the stamps of new versions. See `core.model.version.HybridClock` for the rule."""

    __slots__ = ("_hybrid", "_wall_clock")

    def __init__(self, wall_clock: Callable[[], int], last: int = 0) -> None:
        """`wall_clock` gives nanoseconds since 1970; `last` is the largest stamp that the store has kept.

        One that is too far ahead comes from a time when the wall clock was wrong, and is not gone on from.
        """
        self._wall_clock = wall_clock
        self._hybrid = HybridClock()
        self._hybrid.saw(last, wall_clock())

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

    def propose(self, *, above: int = 0) -> int:
        """A stamp above `above` and above every stamp seen before; it counts as given once `saw` hears it."""
        return self._hybrid.propose(self._wall_clock(), above=above)

    def newest_near(self, records: Iterable[Record | None]) -> int:
        """The largest stamp of records, without those too far ahead of the wall clock; 0 for none."""
        stamps = [record.version.stamp for record in records if record is not None]
        if not stamps:
            return 0
        latest = self._wall_clock() + MAX_CLOCK_SKEW_NANOSECONDS
        return max((stamp for stamp in stamps if stamp <= latest), default=0)

    def saw(self, stamp: int) -> bool:
        """Take note of a peer's stamp. One that is too far ahead leaves the clock alone, and gives False."""
        return self._hybrid.saw(stamp, self._wall_clock())
