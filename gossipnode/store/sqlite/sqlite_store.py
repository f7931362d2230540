"""The store in one SQLite file: reads on the loop, a short page at a time; writes through one thread.

Opened first and closed last by a node. A read never holds a transaction across an await, except the bounded
one of a tree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import trio

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.index_key import IndexKind
from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.store.damage import DamageError
from gossipnode.store.entity_key import entity_key, key_entity
from gossipnode.store.interface import (
    IndexHit,
    IndexRows,
    IndexState,
    LeafDigest,
    ShardCounts,
    StoreClosedError,
    StoreDamagedError,
    StoreError,
    no_index_rows,
)
from gossipnode.store.prepared import PreparedRecord, prepare_record
from gossipnode.store.sqlite.digests import Digests
from gossipnode.store.sqlite.drop import DROP_STEP_RECORDS, drop_step
from gossipnode.store.sqlite.file import StoreFile, close_file, close_readers, open_file
from gossipnode.store.sqlite.indexes import Indexes
from gossipnode.store.sqlite.jobs import StepJob, WriteJob
from gossipnode.store.sqlite.rows import (
    all_shards,
    find_shard,
    keep_note,
    leaf_page,
    meta_number,
    note,
    read_payloads,
    scan_page,
    slot_rows,
)
from gossipnode.store.sqlite.sqlite_errors import damaged, store_error
from gossipnode.store.sqlite.statements import STATEMENT_ROWS, statement_rows
from gossipnode.store.sqlite.writer import Writer

READ_STATEMENT_ROWS = 64
"""Records read before other tasks get their turn: well under a millisecond."""


@asynccontextmanager
async def open_sqlite_store(
    directory: Path,
    *,
    leaf_digest: LeafDigest,
    dialect: str,
    index_rows: IndexRows = no_index_rows,
    reseed: bool = False,
) -> AsyncGenerator[SqliteStore]:
    """Open the store of a data directory, making both if need be, for the length of the block.

    `dialect` names what `leaf_digest` computes: digests kept under another name are computed anew.
    `index_rows` must give the same rows for the same payload in every life of the file. With `reseed` the
    whole file is checked, and moved aside if it is damaged (see `SqliteStore.moved_aside`).

    Raises:
        StoreLockedError: another process has the directory open.
        StoreDamagedError: the file is damaged or of another kind, and `reseed` is false.
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

    __slots__ = ("_closed", "_digests", "_failed", "_failure", "_file", "_indexes", "_writer")

    def __init__(self, file: StoreFile, leaf_digest: LeafDigest, index_rows: IndexRows) -> None:
        self._file = file
        self._closed = False
        self._failure: StoreError | None = None
        self._failed = trio.Event()
        self._writer = Writer(file.writer, file.path, index_rows, self._fail)
        self._digests = Digests(self._writer, self._reading, self._in_snapshot, leaf_digest, self._damage)
        self._indexes = Indexes(self._writer, self._reading, index_rows)

    @property
    def moved_aside(self) -> Path | None:
        """What a damaged file is called now, if opening moved one aside."""
        return self._file.moved_aside

    @property
    def failure(self) -> StoreError | None:
        """Why the store cannot go on, once it has failed."""
        return self._failure

    async def wait_failed(self) -> StoreError:
        """Wait until the store has failed so that it cannot go on; the node should then stop."""
        await self._failed.wait()
        assert self._failure is not None
        return self._failure

    async def write(
        self, shard_records: Sequence[tuple[ShardId, Record]], *, stamp: int = 0
    ) -> list[WriteResult]:
        """See `Store.write`."""
        self._check_open()
        prepared: list[PreparedRecord] = []
        for shard, record in shard_records:
            prepared.append(prepare_record(shard, record))
            if len(prepared) % STATEMENT_ROWS == 0:
                await trio.lowlevel.checkpoint()
        job = WriteJob(prepared, stamp)
        await self._writer.do(job)
        return job.results

    async def read(self, shard: ShardId, entities: Sequence[Entity]) -> list[Record | None]:
        """See `Store.read`."""
        records: list[Record | None] = []
        for start in range(0, len(entities), READ_STATEMENT_ROWS):
            part = entities[start : start + READ_STATEMENT_ROWS]
            keys = [(slot_of(entity), entity_key(entity)) for entity in part]
            await trio.lowlevel.checkpoint()
            with self._errors():
                (asked,) = statement_rows(keys, READ_STATEMENT_ROWS)
                found = read_payloads(self._file.reader, shard, asked)
            for position, entity in enumerate(part):
                held = found.get(position)
                records.append(Record(entity, *held) if held else None)
        return records

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """See `Store.leaves`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            sid = find_shard(connection, shard)
            if sid is None:
                return []
            rows = leaf_page(connection, sid, slot, after, limit)
        if any(row.sha is None for row in rows):
            rows = await self._digests.complete(sid, slot, rows)
        return [Leaf(slot, key_entity(row.key), row.sha.hex(), row.version) for row in rows if row.sha]

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """See `Store.scan`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            sid = find_shard(connection, shard)
            return scan_page(connection, sid, after, limit, name) if sid else []

    async def tree(self, shard: ShardId) -> Tree:
        """See `Store.tree`. The digests are those of one moment, whatever is written meanwhile."""
        return await self._digests.tree(shard)

    async def counts(self, shard: ShardId) -> ShardCounts:
        """See `Store.counts`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            sid = find_shard(connection, shard)
            rows = slot_rows(connection, sid) if sid else []
        return ShardCounts(
            sum(row.records for row in rows),
            sum(row.tombstones for row in rows),
            sum(row.unhashed for row in rows),
        )

    async def last_stamp(self) -> int:
        """See `Store.last_stamp`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            return meta_number(connection, "last_stamp")

    async def fill_digests(self, *, limit: int) -> int:
        """See `Store.fill_digests`. On a full disk none can be kept, and 0 is returned."""
        return await self._digests.fill(limit=limit)

    def shards(self) -> list[ShardId]:
        """See `Store.shards`. Ordered by group, shard and incarnation."""
        with self._reading() as connection:
            return [shard for _, shard in all_shards(connection)]

    async def drop(self, shard: ShardId) -> None:
        """See `Store.drop`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            if find_shard(connection, shard) is None:
                return
        left = 1
        while left:
            job = StepJob(partial(drop_step, shard=shard), DROP_STEP_RECORDS)
            await self._writer.do(job)
            left = job.result

    async def note(self, key: str) -> bytes | None:
        """See `Store.note`."""
        await trio.lowlevel.checkpoint()
        with self._reading() as connection:
            return note(connection, key)

    async def keep_note(self, key: str, value: bytes | None) -> None:
        """See `Store.keep_note`."""
        self._check_open()
        await self._writer.do(StepJob(partial(keep_note, key=key, value=value)))

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
        """Carry out the writes handed in, then close the file. Further calls do nothing."""
        if self._closed:
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            await self._writer.stop()
            await self._digests.close()
            close_readers(self._file)
            clean = self._failure is None
            await trio.to_thread.run_sync(lambda: close_file(self._file, clean=clean))

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._transaction(self._file.reader) as connection:
            yield connection

    @contextmanager
    def _in_snapshot(self) -> Generator[sqlite3.Connection]:
        with self._transaction(self._file.snapshot) as connection:
            yield connection

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Generator[sqlite3.Connection]:
        """All reads of the block see one state."""
        with self._errors():
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Turns SQLite's errors into our own. Damage that the block meets ends the store."""
        self._check_open()
        try:
            yield
        except sqlite3.Error as raised:
            error = store_error(raised, self._file.path)
            if isinstance(error, StoreDamagedError):
                self._fail(error)
            raise error from raised
        except DamageError as raised:
            raise self._damage(str(raised)) from raised

    def _damage(self, finding: str) -> StoreError:
        """Damage was met: the store has failed. Gives the error to raise."""
        error = damaged(self._file.path, finding)
        self._fail(error)
        return error

    def _fail(self, error: StoreError) -> None:
        if self._failure is None:
            self._failure = error
            self._failed.set()

    def _check_open(self) -> None:
        if self._failure is not None:
            raise StoreClosedError(f"the store has failed: {self._failure}")
        if self._closed:
            raise StoreClosedError("the store is closed")
