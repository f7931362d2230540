"""What the store in memory keeps so that tombstones can be purged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.retention.marks import NO_MARKS, Marks, is_purged
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.retention import HeldVersion


class MemoryRetention:
    """Implements `Retention` over an image."""

    def __init__(
        self,
        image: MemoryImage,
        begin: Callable[[], Awaitable[None]],
        commit: Callable[[], Awaitable[None]],
        purged: Callable[[ShardId, Sequence[Entity]], None],
    ) -> None:
        """`begin` is awaited before a read, `commit` before a change; `purged` is told what is removed."""
        self._image = image
        self._begin = begin
        self._commit = commit
        self._purged = purged

    def marks(self, shard: ShardId) -> Marks:
        """See `Retention.marks`."""
        return self._image.marks.get(shard, NO_MARKS)

    def all_marks(self) -> Mapping[ShardId, Marks]:
        """See `Retention.all_marks`."""
        return self._image.marks

    async def keep(self, shard: ShardId, marks: Marks) -> None:
        """See `Retention.keep`."""
        await self._begin()
        if marks.joined(self.marks(shard)) == self.marks(shard):
            return
        await self._commit()
        self._image.raise_marks(shard, marks)
        self._image.count_commit(True)

    async def tombstones(self, shard: ShardId, up_to: int, *, limit: int) -> list[HeldVersion]:
        """See `Retention.tombstones`."""
        await self._begin()
        old = [
            HeldVersion(entity, record.version)
            for entity, record in self._image.held(shard).records.items()
            if record.deleted and record.version.stamp <= up_to
        ]
        return sorted(old, key=lambda held: (held.version.stamp, held.entity))[:limit]

    async def remove(self, shard: ShardId, versions: Sequence[HeldVersion]) -> int:
        """See `Retention.remove`."""
        await self._begin()
        await self._commit()
        held = self._image.held(shard)
        for entity, aside in list(held.aside.items()):
            if is_purged(self.marks(shard), aside.version):
                self._image.remove(shard, entity)
        gone: list[Entity] = []
        for entity, version in versions:
            record = held.records.get(entity)
            if record is not None and record.version == version:
                self._image.remove(shard, entity)
                gone.append(entity)
        self._image.count_commit(True)
        if gone:
            self._purged(shard, gone)
        return len(gone)

    async def give_space_back(self) -> None:
        """See `Retention.give_space_back`. Memory has nothing to give back."""
        await self._begin()
