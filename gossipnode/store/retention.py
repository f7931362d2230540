"""What a store keeps so that tombstones can be purged: the marks of each shard, and the way records go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.retention.marks import Marks

REMOVED_AT_ONCE_MAX = 128
"""Records that one commit removes. Other writes get their turn between two: it takes some milliseconds."""


class HeldVersion(NamedTuple):
    """What is held of an entity, without the payload."""

    entity: Entity
    version: Version


class Retention(Protocol):
    """The marks of shards, by which `Store.write` refuses records, and the removal of what is purged."""

    def marks(self, shard: ShardId) -> Marks:
        """The marks of a shard; all 0 if none were kept, or since the shard was dropped."""
        ...

    def all_marks(self) -> Mapping[ShardId, Marks]:
        """Those of every shard of which some are kept."""
        ...

    async def keep(self, shard: ShardId, marks: Marks) -> None:
        """Raise marks, each to the larger one. Every later commit goes by them. Returns once that is durable.

        Raises:
            StoreError: they were not kept.
        """
        ...

    async def tombstones(self, shard: ShardId, up_to: int, *, limit: int) -> list[HeldVersion]:
        """Up to `limit` tombstones with a stamp up to this one, the oldest first."""
        ...

    async def remove(self, shard: ShardId, versions: Sequence[HeldVersion]) -> int:
        """Remove those of these versions that are still held; gives how many. What is newer by then stays.

        Tombstones that are set aside as damaged, up to the mark of the shard, go with them. `versions` are
        `REMOVED_AT_ONCE_MAX` at most.

        Raises:
            StoreError: nothing was removed.
        """
        ...

    async def give_space_back(self) -> None:
        """Give the space of what was removed back to the disk, as far as it can be given now."""
        ...
