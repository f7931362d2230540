"""Which changes a watch tells, and as what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gossipnode.core.model.property import Entity, Record


class EventKind(Enum):
    """What an event of a watch says."""

    PUT = "put"
    DELETE = "delete"
    """The record is deleted, or does not match any more what the watch asks for."""
    PURGE = "purge"
    """The replica holds nothing of the record any longer: it was deleted, and the tombstone is forgotten."""
    CONFLICT = "conflict"
    """The version took the place of one that its writer had not seen."""
    READY = "ready"
    """The records as they are have been told."""
    GAP = "gap"
    """What the watch has told before is void: the records as they are follow."""


@dataclass(frozen=True, slots=True)
class WatchFilter:
    """What a watch asks for."""

    name: str = ""
    """Empty: records of every name."""
    ids: frozenset[str] = frozenset()
    """Empty: records of every id."""
    matches: Callable[[bytes], bool] | None = None
    """Whether a payload matches; None: every one does."""

    def asks_for(self, entity: Entity) -> bool:
        """Whether it is about this record."""
        return (not self.name or entity.name == self.name) and (not self.ids or entity.id in self.ids)

    def kind(self, record: Record, before: bytes | None, *, first: bool = False) -> EventKind | None:
        """What a change is told as; None if it is not told.

        Args:
            record: the record as it is now.
            before: the payload that it took the place of, as far as it is known.
            first: whether nothing was told of the record before: then only what matches is told.
        """
        if not self.asks_for(record.entity):
            return None
        if not record.deleted and (self.matches is None or self.matches(record.payload)):
            return EventKind.PUT
        if first:
            return None
        # A record that left what is asked for must not stay with the watcher. If it is not known whether it
        # was there, it is told: that does no harm.
        was_there = self.matches is None or before is None or self.matches(before)
        return EventKind.DELETE if was_there else None
