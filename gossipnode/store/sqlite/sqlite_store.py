"""The store in one SQLite file. It reads on the loop, a short page at a time, and writes through one thread.

A node opens its store first and closes it last.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import repeat
from pathlib import Path

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.index_key import IndexKind
from gossipnode.core.retention.marks import FROM_CLIENT, Entry
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree, make_tree
from gossipnode.store.follower import NumberedVersion
from gossipnode.store.interface import (
    DamagedRecords,
    DiskState,
    IndexHit,
    IndexRows,
    IndexState,
    LeafDigest,
    ShardCounts,
    ShardSummary,
    StoreError,
    no_index_rows,
)
from gossipnode.store.sqlite.beside.change_store import SqliteChanges
from gossipnode.store.sqlite.beside.lineage_store import SqliteLineages
from gossipnode.store.sqlite.beside.retention_store import SqliteRetention
from gossipnode.store.sqlite.digests import Digests
from gossipnode.store.sqlite.disk.file import StoreFile, close_file, close_readers, open_file
from gossipnode.store.sqlite.indexes import Indexes
from gossipnode.store.sqlite.jobs import KeyedRecord, WriteJob, keyed_record
from gossipnode.store.sqlite.key_reads import KeyReads, read_by_number, read_versions
from gossipnode.store.sqlite.mending import Mending
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.sqlite_errors import store_error
from gossipnode.store.sqlite.sqlite_figures import SqliteFigures
from gossipnode.store.sqlite.tables.damage import leaf_checked
from gossipnode.store.sqlite.tables.drop import DROP_STEP_RECORDS, drop_step
from gossipnode.store.sqlite.tables.entity_key import key_entity
from gossipnode.store.sqlite.tables.rows import (
    SlotSha,
    all_shards,
    find_shard,
    keep_note,
    leaf_page,
    meta_number,
    note,
    scan_page,
    slot_rows,
)
from gossipnode.store.sqlite.tables.set_aside import (
    count_aside,
    list_aside,
    shards_with_aside,
)
from gossipnode.store.sqlite.tables.shard_summary import SummaryPage, summary_page
from gossipnode.store.sqlite.tables.statements import STATEMENT_ROWS
from gossipnode.store.sqlite.upkeep import Upkeep
from gossipnode.store.sqlite.writer import Writer

SUMMARY_KEPT_SLOTS = 1024
"""Digests of slots that a pass over all shards computes before it has them kept."""


@asynccontextmanager
async def open_sqlite_store(
    directory: Path,
    *,
    leaf_digest: LeafDigest,
    dialect: str | None,
    index_rows: IndexRows = no_index_rows,
    reseed: bool = False,
) -> AsyncGenerator[SqliteStore]:
    """Open the store of a data directory for the length of the block. Both are made if they do not exist.

    `dialect` names the formula of `leaf_digest`. If the file has digests of another one, they are forgotten
    and computed again. With None they stay as they are, and no digest may be asked for. `index_rows` must
    always give the same rows for the same payload, as long as the file exists. With `reseed` the whole file
    is checked, and moved aside if it is damaged (see `SqliteStore.moved_aside`).

    Raises:
        StoreLockedError: another process has the directory open.
        StoreDamagedError: the file is damaged or not a store of ours, and `reseed` is false.
        StoreTooNewError: a newer gossipnode wrote the file.
        StoreFullError: there is no space for a new file.
        StoreError: SQLite is too old, or cannot open the file.
        OSError: the directory cannot be made or written to.
    """
    file = await trio.to_thread.run_sync(lambda: open_file(directory, dialect=dialect, reseed=reseed))
    try:
        store = SqliteStore(file, leaf_digest, index_rows)
    except sqlite3.Error as error:
        close_readers(file)
        close_file(file, clean=False)
        raise store_error(error, file.path) from error
    try:
        yield store
    finally:
        await store.close()


class SqliteStore:
    """Implements `Store`. Made by `open_sqlite_store`."""

    __slots__ = (
        "_digests",
        "_file",
        "_indexes",
        "_keys",
        "_mending",
        "_reads",
        "_state",
        "_upkeep",
        "_writer",
        "changes",
        "figures",
        "lineages",
        "retention",
    )

    def __init__(self, file: StoreFile, leaf_digest: LeafDigest, index_rows: IndexRows) -> None:
        self._file = file
        self._state = OpenState(file.path)
        self._reads = Reads(file, self._state)
        self._writer = Writer(file.writer, file.path, index_rows, self._state.fail)
        self._digests = Digests(self._writer, self._reads, self._state, leaf_digest)
        self._mending = Mending(self._writer, self._state)
        self._keys = KeyReads(self._reads, self._mending)
        self._indexes = Indexes(self._writer, self._reads, index_rows)
        self.changes = SqliteChanges(self._writer, self._reads, self._mending)
        self.lineages = SqliteLineages(self._writer, self._reads, self._mending, self._state)
        self.figures = SqliteFigures(self._writer, self._reads)
        self.retention = SqliteRetention(self._writer, self._reads, self._mending, self._state)
        self._upkeep = Upkeep(file.path, self._writer, self._state)

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file is now, if opening has moved one aside."""
        return self._file.moved_aside

    async def damaged_records(self, *, limit: int) -> DamagedRecords:
        """See `Store.damaged_records`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            names = tuple(record.name for record in list_aside(connection, limit))
            return DamagedRecords(count_aside(connection), names)

    async def damaged_shards(self) -> dict[ShardId, str]:
        """See `Store.damaged_shards`."""
        await trio.lowlevel.checkpoint()
        return self._reads.statement(shards_with_aside)

    @property
    def disk(self) -> DiskState:
        """See `Store.disk`."""
        return self._writer.space.state

    @property
    def disk_changed(self) -> ChangeEvent:
        """See `Store.disk_changed`."""
        return self._writer.disk_changed

    async def wait_failed(self) -> StoreError:
        """See `Store.wait_failed`. Looks at the files and at the disk meanwhile."""
        return await self._upkeep.run()

    async def write(
        self,
        shard_records: Sequence[tuple[ShardId, Record]],
        *,
        stamp: int = 0,
        doubt_equal: bool = False,
        lineages: Sequence[bytes] = (),
        arrivals: Sequence[bytes] = (),
        entries: Sequence[Entry] = (),
    ) -> list[WriteResult]:
        """See `Store.write`."""
        self._state.check_open()
        records: list[KeyedRecord] = []
        ways = entries or repeat(FROM_CLIENT)
        beside = zip(lineages or repeat(b""), arrivals or repeat(b""), ways, strict=False)
        for (shard, record), kept in zip(shard_records, beside, strict=False):
            records.append(keyed_record(shard, record, *kept))
            if len(records) % STATEMENT_ROWS == 0:
                await trio.lowlevel.checkpoint()
        job = WriteJob(records, stamp, doubt_equal)
        await self._writer.do(job)
        assert len(job.results) == len(records), "a record was committed without a result"
        return job.results

    async def read(
        self, shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        """See `Store.read`."""
        return await self._keys.read(shard, entities, skip_damaged=skip_damaged)

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """See `Store.leaves`."""
        return await self._mending.read(partial(self._leaves, shard, slot, after, limit))

    async def _leaves(self, shard: ShardId, slot: int, after: Entity | None, limit: int) -> list[Leaf]:
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            if sid is None:
                return []
            rows = leaf_page(connection, sid, slot, after, limit)
            entities: dict[bytes, Entity] = {}
            for row in rows:
                with leaf_checked(sid, slot, row.key):
                    entities[row.key] = key_entity(row.key)
        if any(row.sha is None for row in rows):
            rows = await self._digests.complete(sid, slot, rows)
        return [Leaf(slot, entities[row.key], row.sha.hex(), row.version) for row in rows if row.sha]

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """See `Store.scan`."""
        return await self._mending.read(partial(self._scan, shard, after, limit, name))

    async def _scan(self, shard: ShardId, after: Entity | None, limit: int, name: str | None) -> list[Record]:
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            return scan_page(connection, sid, after, limit, name) if sid else []

    async def versions(
        self, shard: ShardId, *, after: Entity | None = None, limit: int
    ) -> list[NumberedVersion]:
        """See `Store.versions`."""
        return await self._mending.read(partial(read_versions, self._reads, shard, after, limit))

    async def by_number(self, shard: ShardId, numbers: Sequence[int]) -> list[Record | None]:
        """See `Store.by_number`."""
        return await self._mending.read(partial(read_by_number, self._reads, shard, numbers))

    async def tree(self, shard: ShardId) -> Tree:
        """See `Store.tree`. The digests are those of one moment, even while the shard is written to."""
        return await self._mending.read(partial(self._digests.tree, shard))

    async def known_root(self, shard: ShardId) -> str | None:
        """See `Store.known_root`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            rows = slot_rows(connection, sid) if sid else []
        slots = [SlotDigest(row.slot, row.sha) for row in rows if row.sha is not None]
        return make_tree(slots).root if len(slots) == len(rows) else None

    async def counts(self, shard: ShardId) -> ShardCounts:
        """See `Store.counts`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            sid = find_shard(connection, shard)
            rows = slot_rows(connection, sid) if sid else []
        return ShardCounts(
            sum(row.records for row in rows),
            sum(row.tombstones for row in rows),
            sum(row.unhashed for row in rows),
        )

    async def summaries(self) -> dict[ShardId, ShardSummary]:
        """See `Store.summaries`."""
        summaries: dict[ShardId, ShardSummary] = {}
        computed: list[SlotSha] = []
        page = SummaryPage({}, 0)
        while page.after is not None:
            await trio.lowlevel.checkpoint()
            with self._reads.transaction() as connection:
                page = summary_page(connection, page.after)
            summaries.update(page.summaries)
            computed += page.computed
            if len(computed) >= SUMMARY_KEPT_SLOTS or page.after is None:
                await self._digests.keep_slots(computed)
                computed.clear()
        return summaries

    async def last_stamp(self) -> int:
        """See `Store.last_stamp`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            return meta_number(connection, "last_stamp")

    async def fill_digests(self, *, limit: int) -> int:
        """See `Store.fill_digests`. On a full disk no digest can be kept, and 0 is returned."""
        return await self._mending.read(partial(self._digests.fill, limit=limit))

    def shards(self) -> list[ShardId]:
        """See `Store.shards`. Ordered by group, shard and incarnation."""
        with self._reads.transaction() as connection:
            return [shard for _, shard in all_shards(connection)]

    async def drop(self, shard: ShardId) -> None:
        """See `Store.drop`."""
        await trio.lowlevel.checkpoint()
        # First of all: what says that a shard is complete must not outlive a part of its records.
        await self.retention.forget(shard)
        with self._reads.transaction() as connection:
            if find_shard(connection, shard) is None:
                return
        try:
            await self._writer.free(partial(drop_step, shard=shard), DROP_STEP_RECORDS)
        finally:
            self._writer.tell_removed(shard)
        # The shard is gone, whether they can be given back now or not.
        await self.retention.give_space_back()

    async def note(self, key: str) -> bytes | None:
        """See `Store.note`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            return note(connection, key)

    async def keep_note(self, key: str, value: bytes | None, *, numbered: bool = True) -> None:
        """See `Store.keep_note`."""
        self._state.check_open()
        await self._writer.spare(partial(keep_note, key=key, value=value), numbered=numbered)

    @property
    def commit_number(self) -> int:
        """See `Store.commit_number`."""
        return self._writer.commit_number

    async def want_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.want_index`."""
        await self._indexes.want(shard, tag)

    async def drop_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.drop_index`."""
        await self._indexes.drop(shard, tag)

    def indexes(self, shard: ShardId) -> dict[str, IndexState]:
        """See `Store.indexes`. Ordered by tag."""
        return self._indexes.states(shard)

    async def build_indexes(self, *, limit: int) -> int:
        """See `Store.build_indexes`."""
        return await self._indexes.build(limit)

    async def find(
        self,
        shard: ShardId,
        tag: str,
        kind: IndexKind,
        low: bytes,
        high: bytes,
        *,
        after: IndexHit | None = None,
        descending: bool = False,
        limit: int,
    ) -> list[IndexHit]:
        """See `Store.find`."""
        return await self._indexes.find(
            shard, tag, kind, low, high, after=after, descending=descending, limit=limit
        )

    async def close(self) -> None:
        """Carry out the writes that were handed in, then close the file. Further calls do nothing."""
        if self._state.closed:
            return
        self._state.closed = True
        with trio.CancelScope(shield=True):
            await self._writer.stop()
            await self._digests.close()
            close_readers(self._file)
            clean = self._state.failure is None
            await trio.to_thread.run_sync(lambda: close_file(self._file, clean=clean))
