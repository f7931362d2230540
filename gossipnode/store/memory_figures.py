"""The figures of the store in memory. It makes no commits that could be measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gossipnode.core.model.property import ShardId
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.store_figures import CommitFigures, HeldCounts


class MemoryFigures:
    """Implements `StoreFigures`."""

    def __init__(self, image: MemoryImage, begin: Callable[[], Awaitable[None]]) -> None:
        """Of what is in `image`. `begin` lets a call in, or raises what is wrong with the store."""
        self.commits = CommitFigures()
        self._image = image
        self._begin = begin

    async def counts(self) -> Mapping[ShardId, HeldCounts]:
        """See `StoreFigures.counts`."""
        await self._begin()
        held = {shard: held.counts for shard, held in self._image.shards.items()}
        return {shard: HeldCounts(counts.records, counts.tombstones) for shard, counts in held.items()}
