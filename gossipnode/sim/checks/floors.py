"""How new a key's version must be at least: what was acknowledged or shown before, as revisions.

The newest version at a quorum never becomes an older one: a later quorum read finds it, or a newer one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

from gossipnode.sim.checks.sights import NOBODY, KeyWrite, Shown, Span

Kind: TypeAlias = Literal["write", "delete", "read"]


class Floor(NamedTuple):
    """The lowest revision that may be there, and the operation that says so. Revision 0 says nothing."""

    revision: int
    number: int


NO_FLOOR = Floor(0, NOBODY)


class _Rising:
    """The highest floor of all that had ended before a moment."""

    __slots__ = ("_ended", "_floors")

    def __init__(self) -> None:
        self._ended: list[float] = []
        self._floors: list[Floor] = []

    def add(self, ended: float, floor: Floor) -> None:
        """Add a floor. Floors come in the order of their ends."""
        highest = self._floors[-1] if self._floors else NO_FLOOR
        self._ended.append(ended)
        self._floors.append(floor if floor.revision > highest.revision else highest)

    def before(self, span: Span) -> Floor:
        """The highest floor of what had ended when a span began."""
        index = bisect_right(self._ended, span.began)
        return self._floors[index - 1] if index else NO_FLOOR


class Floors:
    """The floors of one key."""

    def __init__(self, promised: Iterable[KeyWrite], sights: Iterable[Shown]) -> None:
        """Work once through what was acknowledged and what quorums showed."""
        self._all = _Rising()
        self._live = _Rising()
        self._kinds: dict[Kind, _Rising] = {"write": _Rising(), "delete": _Rising(), "read": _Rising()}
        sources: list[KeyWrite | Shown] = list(promised)
        sources += [shown for shown in sights if shown.source in ("get", "query")]
        for source in sorted(sources, key=lambda each: (each.ended, each.number)):
            revision = self._revision(source)
            floor = Floor(revision, source.number)
            self._kinds[_kind(source)].add(source.ended, floor)
            self._all.add(source.ended, floor)
            self._live.add(source.ended, Floor(source.revision or 0, source.number))

    def below(self, span: Span) -> Floor:
        """How new a version must be that a quorum finds in this span."""
        return self._all.before(span)

    def below_live(self, span: Span) -> Floor:
        """What a write that begins then is above: the newest live version of which anybody knew.

        A tombstone may have the stamp of the version that it deletes, so the next write is one above both.
        """
        return self._live.before(span)

    def below_by(self, kind: Kind, span: Span) -> Floor:
        """How new it must be because of earlier acknowledged writes, or deletes, or reads."""
        return self._kinds[kind].before(span)

    def _revision(self, source: KeyWrite | Shown) -> int:
        if source.revision:
            return source.revision
        before = self._all.before(source).revision
        if isinstance(source, KeyWrite) and source.wrote:
            return before + 1
        # Nothing was there, so the last record that had been there has got a tombstone, which is newer.
        live = self._live.before(source).revision
        return max(before, live + 1) if live else before


def _kind(source: KeyWrite | Shown) -> Kind:
    if isinstance(source, Shown):
        return "read"
    return "delete" if source.deletes else "write"
