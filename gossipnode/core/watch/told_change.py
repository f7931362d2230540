"""A change as watches tell it, and what a replica sends of its changes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from gossipnode.core.model.arrival import Arrival, is_overlap
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.watch.watch_filter import EventKind

Item = TypeVar("Item")


class ToldChange:
    """A version of a record that a replica has learnt."""

    __slots__ = ("arrival", "events", "old", "purged", "record", "replaced", "sequence", "shard")

    def __init__(
        self,
        shard: int,
        record: Record,
        sequence: int,
        arrival: Arrival | None = None,
        replaced: tuple[int, int] | None = None,
        old: bytes | None = None,
        *,
        purged: bool = False,
    ) -> None:
        """A change of a shard of the group.

        Args:
            shard: its number.
            record: the record as it is now.
            sequence: the commit of the replica that stored it; 0 for one that was there before.
            arrival: how it came, if that is known.
            replaced: mod_revision and delete_time of the version that it took the place of, if there was one.
            old: the payload of that version, if it is known and was live.
            purged: whether the replica holds nothing of the record any longer; `record` has its key alone.
        """
        self.shard = shard
        self.record = record
        self.sequence = sequence
        self.arrival = arrival
        self.replaced = replaced
        self.old = old
        self.purged = purged
        self.events: dict[EventKind, bytes] = {}
        """The events that tell it, encoded: each once for all watches."""

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return len(self.record.payload) + len(self.old or b"") + CHANGE_OVERHEAD_BYTES

    @property
    def overlap(self) -> bool:
        """Whether the version took the place of one that its writer had not seen."""
        return self.replaced is not None and is_overlap(self.record.built_upon, self.replaced)


CHANGE_OVERHEAD_BYTES = 512
"""What a change takes beside its payloads."""


class FeedPage(NamedTuple):
    """Some changes of one replica."""

    changes: list[ToldChange]
    sequence: int = 0
    """The commit up to which all is told; 0 as long as what was there before is not all told."""
    ready: bool = False
    """What was there when the feed began is told: from here on, changes come as they happen."""
    mark: int = 0
    """See `FeedPosition.mark`."""


def purged_change(shard: int, entity: Entity, sequence: int) -> ToldChange:
    """That a replica holds nothing of a record any longer: it was deleted, and the tombstone is purged."""
    return ToldChange(shard, Record(entity, Version(0, 0, b""), b""), sequence, purged=True)


def in_parts(items: Sequence[Item], size: Callable[[Item], int], most_bytes: int) -> Iterator[Sequence[Item]]:
    """Cut what is to be sent into parts of a good size. One part at least; a single item is never cut."""
    first, held = 0, 0
    for place, item in enumerate(items):
        held += size(item)
        if held > most_bytes and place > first:
            yield items[first:place]
            first, held = place, size(item)
    yield items[first:]
