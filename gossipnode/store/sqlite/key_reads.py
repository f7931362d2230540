"""Reads of records by key and by number. What tasks ask for in one turn of the loop is read by one statement.

A node that answers many clients at once reads one record for each of them. A statement costs as much as the
rows of ten records, so those that ask together share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.store.follower import NumberedVersion
from gossipnode.store.prepared import record_damaged
from gossipnode.store.sqlite.mending import Mending
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.tables.damage import DamagedLeafError, DamageError, leaf_checked, next_key
from gossipnode.store.sqlite.tables.entity_key import entity_key, key_entity
from gossipnode.store.sqlite.tables.numbered_rows import records_by_rid, version_page
from gossipnode.store.sqlite.tables.rows import find_shard, read_payloads
from gossipnode.store.sqlite.tables.set_aside import key_name
from gossipnode.store.sqlite.tables.statements import statement_rows

READ_STATEMENT_ROWS = 64
"""Records that are read before other tasks get their turn. It takes well under a millisecond."""


class _AskedRecord:
    """A record that a task has asked for."""

    __slots__ = ("entity", "key", "read", "record", "taken")

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.key = slot_of(entity), entity_key(entity)
        self.record: Record | None = None
        self.taken = False
        """Whether a statement was made for it."""
        self.read = False
        """Whether `record` is what is held of it. If not, its task reads it by itself."""


class KeyReads:
    """Reads records, and has rotten ones set aside."""

    __slots__ = ("_asked", "_mending", "_reads")

    def __init__(self, reads: Reads, mending: Mending) -> None:
        self._reads = reads
        self._mending = mending
        self._asked: dict[ShardId, list[_AskedRecord]] = {}

    async def read(
        self, shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool
    ) -> list[Record | None]:
        """See `Store.read`."""
        if len(entities) == 1:
            asked = _AskedRecord(entities[0])
            self._asked.setdefault(shard, []).append(asked)
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled:
                if not asked.taken:
                    self._give_up(shard, asked)
                raise
            while not asked.taken:
                self._read_waiting(shard)
            if asked.read:
                return [asked.record]
        return await self._mending.read(partial(self._read_alone, shard, entities, skip_damaged))

    def _give_up(self, shard: ShardId, asked: _AskedRecord) -> None:
        waiting = self._asked[shard]
        waiting.remove(asked)
        if not waiting:
            del self._asked[shard]

    def _read_waiting(self, shard: ShardId) -> None:
        """Read what was asked for first, with one statement."""
        waiting = self._asked.pop(shard)
        part, later = waiting[:READ_STATEMENT_ROWS], waiting[READ_STATEMENT_ROWS:]
        if later:
            self._asked[shard] = later
        for asked in part:
            asked.taken = True
        (keys,) = statement_rows([asked.key for asked in part], READ_STATEMENT_ROWS)
        try:
            found, aside = self._reads.statement(partial(read_payloads, shard=shard, keys=keys))
        except DamagedLeafError:
            return  # each reads by itself, and one of them has the rotten record set aside
        for position, asked in enumerate(part):
            held = found.get(position)
            asked.record = Record(asked.entity, *held) if held else None
            asked.read = position not in aside

    async def _read_alone(
        self, shard: ShardId, entities: Sequence[Entity], skip_damaged: bool
    ) -> list[Record | None]:
        records: list[Record | None] = []
        for start in range(0, len(entities), READ_STATEMENT_ROWS):
            part = entities[start : start + READ_STATEMENT_ROWS]
            keys = [(slot_of(entity), entity_key(entity)) for entity in part]
            await trio.lowlevel.checkpoint()
            (asked,) = statement_rows(keys, READ_STATEMENT_ROWS)
            found, aside = self._reads.statement(partial(read_payloads, shard=shard, keys=asked))
            if aside and not skip_damaged:
                raise record_damaged(key_name(asked[aside[0]][1]))
            for position, entity in enumerate(part):
                held = found.get(position)
                records.append(Record(entity, *held) if held else None)
        return records


async def read_versions(
    reads: Reads, shard: ShardId, after: Entity | None, limit: int
) -> list[NumberedVersion]:
    """See `Store.versions`."""
    await trio.lowlevel.checkpoint()
    start = (slot_of(after), entity_key(after)) if after else (-1, b"")
    versions: list[NumberedVersion] = []
    with reads.transaction() as connection:
        sid = find_shard(connection, shard)
        page = version_page(connection, sid, start, limit) if sid else []
        try:
            for place, version, rid in page:
                start = place.slot, next_key(start[1] if place.slot == start[0] else b"", place.key)
                versions.append(NumberedVersion(key_entity(place.key), version, rid))
        except DamageError as finding:
            raise DamagedLeafError(page[len(versions)][0], finding) from finding
    return versions


async def read_by_number(reads: Reads, shard: ShardId, numbers: Sequence[int]) -> list[Record | None]:
    """See `Store.by_number`."""
    await trio.lowlevel.checkpoint()
    with reads.transaction() as connection:
        sid = find_shard(connection, shard)
        found = records_by_rid(connection, sid, numbers) if sid else {}
        records: list[Record | None] = []
        for number in numbers:
            if number in found:
                place, version, payload, built_upon = found[number]
                with leaf_checked(*place):
                    records.append(Record(key_entity(place.key), version, payload, built_upon))
            else:
                records.append(None)
    return records
