"""What the store in memory keeps beside records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.request_lineage import LineagePage
from gossipnode.store.interface import LINEAGE_PAGE_BYTES
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.memory_shard import by_slot


class MemoryLineages:
    """Implements `Lineages` over an image."""

    def __init__(
        self,
        image: MemoryImage,
        begin: Callable[[], Awaitable[None]],
        commit: Callable[[], Awaitable[None]],
    ) -> None:
        """`begin` is awaited before a read, and `commit` before a change."""
        self._image = image
        self._begin = begin
        self._commit = commit

    async def of(self, shard: ShardId, entity: Entity) -> bytes:
        """See `Lineages.of`."""
        await self._begin()
        return self._image.held(shard).lineages.get(entity, b"")

    async def page(self, shard: ShardId, *, after: Entity | None, since: int) -> LineagePage:
        """See `Lineages.page`."""
        await self._begin()
        held = self._image.held(shard)
        found: list[tuple[Entity, bytes]] = []
        size = 0
        for entity in by_slot(held.lineages):
            comes_later = after is None or (slot_of(entity), entity) > (slot_of(after), after)
            if comes_later and held.records[entity].version.stamp >= since:
                if size >= LINEAGE_PAGE_BYTES:
                    return LineagePage(found, found[-1][0])
                found.append((entity, held.lineages[entity]))
                size += len(held.lineages[entity])
        return LineagePage(found, None)

    async def keep(self, shard: ShardId, changes: Sequence[tuple[Entity, bytes, bytes]]) -> None:
        """See `Lineages.keep`."""
        await self._begin()
        if not changes:
            return
        await self._commit()
        held = self._image.held(shard)
        for entity, before, after in changes:
            if entity in held.records and held.lineages.get(entity, b"") == before:
                self._image.put_lineage(shard, entity, after)
