"""What becomes of the records of the store in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.store.follower import ChangePage, Replaced, StoredChange, StoreFollower
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.prepared import record_damaged


class MemoryChanges:
    """Implements `StoreChanges` over an image."""

    def __init__(self, image: MemoryImage, begin: Callable[[], Awaitable[None]]) -> None:
        """`begin` is awaited before a read."""
        self._image = image
        self._begin = begin
        self._followers: list[StoreFollower] = []
        self._replaced_told: frozenset[ShardId] = frozenset()

    def follow(self, follower: StoreFollower) -> None:
        """See `StoreChanges.follow`."""
        self._followers.append(follower)

    def tell_replaced(self, shards: Collection[ShardId]) -> None:
        """See `StoreChanges.tell_replaced`."""
        self._replaced_told = frozenset(shards)

    def stored(self, stored: Sequence[tuple[ShardId, Entity]]) -> None:
        """Tell followers what a commit has stored."""
        if self._followers and stored:
            changes = [self._change(*each) for each in dict.fromkeys(stored)]
            for follower in self._followers:
                follower.stored(changes)

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        """Tell followers that just these are held no more."""
        for follower in self._followers:
            follower.purged(shard, entities)

    def removed(self, shard: ShardId) -> None:
        """Tell followers that a shard is gone."""
        for follower in self._followers:
            follower.removed(shard)

    async def since(self, shard: ShardId, sequence: int, *, limit: int) -> ChangePage:
        """See `StoreChanges.since`."""
        await self._begin()
        held = self._image.held(shard)
        found = sorted(
            (change.sequence, entity) for entity, change in held.changes.items() if change.sequence > sequence
        )
        if len(found) < limit:
            reached = max(sequence, self._image.commits)
            return ChangePage([self._change(shard, each) for _, each in found], reached, whole=True)
        last = found[limit - 1][0]
        until = last if found[0][0] == last else last - 1
        page = [self._change(shard, entity) for number, entity in found if number <= until]
        return ChangePage(page, page[-1].sequence, whole=False)

    async def of(self, shard: ShardId, entity: Entity) -> StoredChange | None:
        """See `StoreChanges.of`."""
        await self._begin()
        held = self._image.held(shard)
        if entity in held.aside:
            raise record_damaged(entity.text)
        return self._change(shard, entity) if entity in held.records else None

    def _change(self, shard: ShardId, entity: Entity) -> StoredChange:
        held = self._image.held(shard)
        record, number = held.records[entity], held.numbered(entity).number
        change = held.changes.get(entity)
        if change is None:
            return StoredChange(shard, record, number, 0, b"", None)
        replaced = None
        if change.replaced is not None:
            payload = change.replaced.payload if shard in self._replaced_told else None
            replaced = Replaced(*change.replaced.version[:2], payload)
        return StoredChange(shard, record, number, change.sequence, change.arrival, replaced)
