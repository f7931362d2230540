"""What becomes of the records of the SQLite store: told by the writer, and read on the loop."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import trio

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.store.follower import ChangePage, StoredChange, StoreFollower
from gossipnode.store.prepared import record_damaged
from gossipnode.store.sqlite.mending import Mending
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.tables.change_rows import ChangeRow, change_at, changes_since
from gossipnode.store.sqlite.tables.damage import leaf_checked
from gossipnode.store.sqlite.tables.entity_key import entity_key, key_entity
from gossipnode.store.sqlite.tables.rows import LeafPlace, find_shard
from gossipnode.store.sqlite.tables.set_aside import aside_versions
from gossipnode.store.sqlite.writer import Writer


class SqliteChanges:
    """Implements `StoreChanges`."""

    __slots__ = ("_mending", "_reads", "_writer")

    def __init__(self, writer: Writer, reads: Reads, mending: Mending) -> None:
        self._writer = writer
        self._reads = reads
        self._mending = mending

    def follow(self, follower: StoreFollower) -> None:
        """See `StoreChanges.follow`."""
        self._writer.followers.append(follower)

    def tell_replaced(self, shards: Collection[ShardId]) -> None:
        """See `StoreChanges.tell_replaced`."""
        self._writer.tell_replaced(frozenset(shards))

    async def since(self, shard: ShardId, sequence: int, *, limit: int) -> ChangePage:
        """See `StoreChanges.since`."""
        return await self._mending.read(partial(self._since, shard, sequence, limit))

    async def _since(self, shard: ShardId, sequence: int, limit: int) -> ChangePage:
        await trio.lowlevel.checkpoint()
        # What is committed later than this is told by the next page.
        reached = max(sequence, self._writer.commit_number)
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            if sid is None:
                return ChangePage([], reached, whole=True)
            found = changes_since(connection, sid, sequence, limit)
        changes = [_change(shard, row) for row in found.rows]
        if not found.whole:
            reached = changes[-1].sequence
        return ChangePage(changes, max(reached, changes[-1].sequence) if changes else reached, found.whole)

    async def of(self, shard: ShardId, entity: Entity) -> StoredChange | None:
        """See `StoreChanges.of`."""
        return await self._mending.read(partial(self._of, shard, entity))

    async def _of(self, shard: ShardId, entity: Entity) -> StoredChange | None:
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            if sid is None:
                return None
            place = LeafPlace(sid, slot_of(entity), entity_key(entity))
            row = change_at(connection, place)
            aside = row is None and aside_versions(connection, [place])
        if aside:
            raise record_damaged(entity.text)
        return None if row is None else _change(shard, row)


def _change(shard: ShardId, row: ChangeRow) -> StoredChange:
    with leaf_checked(*row.place):
        record = Record(key_entity(row.place.key), row.version, row.payload, row.built_upon)
    return StoredChange(shard, record, row.rid, row.sequence, row.arrival, row.replaced)
