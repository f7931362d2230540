"""Which writes may have hidden a value that was there.

A merge reads a record at one moment and writes it at a later one. So a merge that overlaps another may undo
it, although each tag by itself looks untouched; this is part of what is promised, and not a fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from gossipnode.sim.checks.key_story import KeyStory
from gossipnode.sim.checks.sights import NOBODY, KeyWrite, Shown, Span


@dataclass(slots=True)
class Hiders:
    """When writes began that may have hidden a value of a tag that was there in a certain span."""

    wild: float = math.inf
    """The first that may have built upon a version before the span: it may hide anything."""
    wiped: float = math.inf
    """The first delete or replacement."""
    setters: dict[int, float] = field(default_factory=dict[int, float])
    """When each other value of the tag was first written."""

    def may_hide(self, seen: int | None, shown: Shown) -> bool:
        """Whether they allow that a record shows another value, or none."""
        if self.wild < shown.ended:
            return True
        if seen is None:
            return self.wiped < shown.ended
        return self.setters.get(seen, math.inf) < shown.ended


def hiders(story: KeyStory, tag: str, value: int, since: Span) -> Hiders:
    """What may have hidden the value of a tag since a span in which it was there for certain."""
    found = Hiders()
    for write in story.writes:
        if write.tags.get(tag) == value or write.surely_before(since):
            continue
        if write.weak or (write.began < since.ended and not write.in_turn_with(since)):
            found.wild = min(found.wild, write.began)
        if write.deletes or write.replace:
            found.wiped = min(found.wiped, write.began)
        if tag in write.tags:
            other = write.tags[tag]
            found.setters[other] = min(found.setters.get(other, math.inf), write.began)
    return found


def may_be_deleted(story: KeyStory, since: Span, shown: Span) -> bool:
    """Whether a record that was there in one span may have been deleted when another ended.

    If that other is a write, it is not asked for what it did itself.
    """
    own = shown.number if isinstance(shown, KeyWrite) else NOBODY
    return any(
        write.deletes and write.began < shown.ended and not write.surely_before(since)
        for write in story.writes
        if write.number != own
    )


def may_live(story: KeyStory, since: Span | None, shown: Span) -> bool:
    """Whether a record that was not there in one span (or ever) may be there when another ends.

    If that other is a write, it is not asked for what it did itself.
    """
    own = shown.number if isinstance(shown, KeyWrite) else NOBODY
    return any(
        not write.deletes and write.began < shown.ended and not (since and write.surely_before(since))
        for write in story.writes
        if write.number != own
    )


@dataclass(frozen=True, slots=True)
class Gone:
    """A span after which an earlier value cannot be there any more, if nothing brings it back."""

    span: Span
    because: str
    carriers: tuple[KeyWrite, ...]
    """The merges that may have read the record before and written it after."""

    def may_return(self, writer: KeyWrite, shown: Shown) -> bool:
        """Whether a merge, other than the write that had written it, may have carried a value over."""
        return any(
            write.number != writer.number and write.number != self.span.number and write.began < shown.ended
            for write in self.carriers
        )


def gone_at(story: KeyStory, span: Span, because: str) -> Gone:
    """What a span says that ends all earlier values."""
    carriers = tuple(
        write
        for write in story.writes
        if not write.deletes
        and not write.replace
        and (write.weak or write.began < span.ended)
        and not write.surely_before(span)
    )
    return Gone(span, because, carriers)


def values_of(shown: Shown) -> Iterator[tuple[str, int]]:
    """The tags of what was shown, in order."""
    yield from sorted((shown.tags or {}).items())
