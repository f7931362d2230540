"""The tag indexes of a store in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import IndexHit, IndexRows, IndexState
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.memory_index import WantedIndex
from gossipnode.store.prepared import INDEXES_PER_SHARD_MAX, check_index, no_index, too_many_indexes


class Commit(Protocol):
    """Passes the time of a commit, see `MemoryStore`."""

    async def __call__(self, *, growing: bool = True) -> None:
        """What is not `growing` is done on a full disk too."""
        ...


class MemoryIndexes:
    """Keeps the indexes of an image."""

    def __init__(
        self,
        image: MemoryImage,
        begin: Callable[[], Awaitable[None]],
        commit: Commit,
        index_rows: IndexRows,
    ) -> None:
        """`begin` is awaited before a read, and `commit` before a change."""
        self._image = image
        self._begin = begin
        self._commit = commit
        self.index_rows = index_rows

    async def want(self, shard: ShardId, tag: str) -> None:
        """See `Store.want_index`."""
        check_index(shard, tag)
        await self._begin()
        if tag in self._image.held(shard).indexes:
            return
        await self._commit()
        held = self._image.held(shard)
        if tag in held.indexes:
            return
        if len(held.indexes) >= INDEXES_PER_SHARD_MAX:
            raise too_many_indexes(shard, tag)
        self._image.changing_indexes(shard)[tag] = WantedIndex(ready=not held.records)

    async def drop(self, shard: ShardId, tag: str) -> None:
        """See `Store.drop_index`."""
        await self._begin()
        if tag not in self._image.held(shard).indexes:
            return
        await self._commit(growing=False)
        if shard in self._image.shards:
            self._image.changing_indexes(shard).pop(tag, None)
            self._image.forget_empty(shard)

    def states(self, shard: ShardId) -> dict[str, IndexState]:
        """See `Store.indexes`."""
        indexes = sorted(self._image.held(shard).indexes.items())
        return {tag: IndexState.READY if index.ready else IndexState.BUILDING for tag, index in indexes}

    async def build(self, limit: int) -> int:
        """See `Store.build_indexes`."""
        await self._begin()
        if not any(True for _ in self._building()):
            return 0
        await self._commit()
        taken = 0
        for shard, tag in list(self._building()):
            index = self._image.changing_indexes(shard)[tag]
            taken += self._image.held(shard).build(index, limit - taken)
        return taken

    async def hits(self, shard: ShardId, tag: str, kind: IndexKind) -> list[IndexHit]:
        """All rows of a kind in a READY index, ascending.

        Raises:
            LookupError: there is no such index, or it is still being built.
        """
        await self._begin()
        held = self._image.held(shard)
        index = held.indexes.get(tag)
        if index is None or not index.ready:
            raise no_index(shard, tag, building=index is not None)
        return held.hits(tag, kind, self.index_rows)

    def _building(self) -> Iterable[tuple[ShardId, str]]:
        for shard, held in self._image.shards.items():
            for tag, index in held.indexes.items():
                if not index.ready:
                    yield shard, tag
