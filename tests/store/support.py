"""Records to write, the tree that they must have, and one handle for both stores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TypeVar

import trio

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.core.query import index_key
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.core.session.tree import SlotDigest, Tree, make_tree, slot_sha
from gossipnode.store.interface import IndexHit, IndexState, ShardCounts, Store, StoreError
from gossipnode.store.memory import MemoryStore
from gossipnode.store.sqlite.sqlite_store import SqliteStore, open_sqlite_store
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.verify.check_store import verify_store
from tests.records import bare_record

T = TypeVar("T")
MEMORY_DISK = Path("/dev/shm")
MEMORY_DISK_MIN_BYTES = 256 << 20
SHARD = ShardId("sw", 0)
OTHER_SHARD = ShardId("sw", 1)
REMADE_SHARD = ShardId("sw", 0, 7)
"""SHARD in the next incarnation of its group, which was deleted and made again."""


def leaf_digest(payload: bytes, delete_time: int) -> bytes:
    return hashlib.sha512(payload + str(delete_time).encode()).digest()


def other_digest(payload: bytes, delete_time: int) -> bytes:
    return hashlib.sha512(b"other" + payload + str(delete_time).encode()).digest()


def make_record(
    identity: str = "1",
    *,
    revision: int = 1,
    deleted: int = 0,
    payload: bytes = b"payload",
    name: str = "name",
    group: str = "sw",
) -> Record:
    """A record of `tests.records`, by the part of its key that differs here."""
    return bare_record(Entity(group, name, identity), payload, revision=revision, delete_time=deleted)


def tagged(identity: str = "1", *, revision: int = 1, name: str = "name", **tags: object) -> Record:
    """A record that `index_rows` can read."""
    return make_record(identity, revision=revision, name=name, payload=json.dumps(tags).encode())


def index_rows(payload: bytes, wanted: Collection[str]) -> list[IndexRow]:
    """The index rows of a payload that is a JSON object. Any other payload makes it raise."""
    tags = {tag: _tag_value(value) for tag, value in json.loads(payload).items()}
    return index_key.index_rows(tags, wanted)


def _tag_value(value: object) -> TagValue:
    if isinstance(value, list):
        return StrArray(value) if value and isinstance(value[0], str) else IntArray(value)
    assert value is None or isinstance(value, str | int)
    return value


def hits(records: Iterable[Record], tag: str, kind: IndexKind, *, descending: bool = False) -> list[IndexHit]:
    """What the index of a tag must hold, made from the records."""
    found: list[IndexHit] = []
    for record in records:
        try:
            rows = [] if record.deleted else index_rows(record.payload, [tag])
        except ValueError:
            continue
        found += [IndexHit(row.key, record.entity) for row in rows if row.kind is kind]
    found.sort()
    if descending:
        found.sort(key=lambda hit: hit.key, reverse=True)
    return found


async def find_all(
    store: Store,
    tag: str,
    kind: IndexKind = IndexKind.WHOLE,
    low: bytes = b"",
    high: bytes = b"\xff",
    *,
    shard: ShardId = SHARD,
    descending: bool = False,
    page: int = 7,
) -> list[IndexHit]:
    found: list[IndexHit] = []
    while part := await store.find(
        shard, tag, kind, low, high, after=found[-1] if found else None, descending=descending, limit=page
    ):
        assert len(part) <= page
        found += part
    return found


async def check_indexes(store: Store) -> None:
    """Every index that is ready holds exactly what the payloads say."""
    for shard in store.shards():
        records = await scan_all(store, shard, page=500)
        for tag, state in store.indexes(shard).items():
            if state is IndexState.READY:
                for kind in IndexKind:
                    assert await find_all(store, tag, kind, shard=shard, page=500) == hits(records, tag, kind)


async def assert_empty(store: Store, shard: ShardId) -> None:
    """Nothing is left of a shard that had records."""
    assert shard not in store.shards()
    assert await store.counts(shard) == ShardCounts(0, 0, 0)
    assert await store.tree(shard) == Tree("", ())
    assert await scan_all(store, shard) == []
    assert await store.read(shard, [make_record(each).entity for each in "012"]) == [None] * 3
    assert store.indexes(shard) == {}


def placed(*records: Record, shard: ShardId = SHARD) -> list[tuple[ShardId, Record]]:
    return [(shard, record) for record in records]


def rebuilt(records: Iterable[Record], digest: Callable[[bytes, int], bytes] = leaf_digest) -> Tree:
    slots: dict[int, list[str]] = {}
    for record in sorted(records, key=lambda record: record.entity):
        sha = digest(record.payload, record.version.delete_time).hex()
        slots.setdefault(slot_of(record.entity), []).append(sha)
    return make_tree(SlotDigest(slot, slot_sha(shas)) for slot, shas in sorted(slots.items()))


async def scan_all(
    store: Store, shard: ShardId = SHARD, *, page: int = 7, name: str | None = None
) -> list[Record]:
    found: list[Record] = []
    while part := await store.scan(shard, after=found[-1].entity if found else None, limit=page, name=name):
        assert len(part) <= page
        found += part
    return found


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory in memory if the machine has room for one, else on disk.

    Three quarters of the time of these tests went into waiting for the disk to confirm commits. Files in
    memory behave the same; only a power cut shows a difference, and no test can cut the power.
    """
    with tempfile.TemporaryDirectory(dir=_memory_disk()) as directory:
        yield Path(directory)


def _memory_disk() -> Path | None:
    try:
        space = os.statvfs(MEMORY_DISK)
    except OSError:
        return None
    roomy = space.f_bavail * space.f_frsize >= MEMORY_DISK_MIN_BYTES
    return MEMORY_DISK if roomy and os.access(MEMORY_DISK, os.W_OK) else None


class Handle(ABC):
    """A store of either kind, and what can happen to it."""

    store: Store

    @abstractmethod
    async def restart(self) -> None:
        """Stop in order, and start again."""

    @abstractmethod
    async def crash(self) -> None:
        """Start again with what a power cut at this moment would have left."""

    @abstractmethod
    async def rot(self, shard: ShardId, entity: Entity) -> None:
        """Flip a bit of the stored payload of a record, while nothing of it is in any cache."""


class SqliteHandle(Handle):
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lives = 0
        self._open = AsyncExitStack()

    @property
    def sqlite(self) -> SqliteStore:
        assert isinstance(self.store, SqliteStore)
        return self.store

    @property
    def failure(self) -> StoreError | None:
        """What ended the store, if anything did."""
        return self.sqlite._state.failure

    async def open(
        self, *, reseed: bool = False, digest: Callable[[bytes, int], bytes] = leaf_digest
    ) -> None:
        self.store = await self._open.enter_async_context(
            open_sqlite_store(
                self.directory,
                leaf_digest=digest,
                dialect=digest.__name__,
                index_rows=index_rows,
                reseed=reseed,
            )
        )

    async def close(self) -> None:
        await self._open.aclose()
        self._open = AsyncExitStack()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def crash(self) -> None:
        self._lives += 1
        copy = self.directory.parent / f"life-{self._lives}"
        copy_live_files(self.directory, copy)
        await self.close()
        self.directory = copy
        await self.open()

    async def rot(self, shard: ShardId, entity: Entity) -> None:
        await self.close()
        with closing(sqlite3.connect(self.directory / "store.db", isolation_level=None)) as connection:
            place = (shard.group.encode(), shard.shard, shard.incarnation, entity_key(entity))
            rid, payload = connection.execute(
                "SELECT rid, bytes FROM leaf JOIN shard USING (sid) JOIN payload USING (rid)"
                " WHERE grp = ? AND number = ? AND incarnation = ? AND entity = ?",
                place,
            ).fetchone()
            connection.execute("UPDATE payload SET bytes = ? WHERE rid = ?", (flipped(payload), rid))
        await self.open()


async def assert_sound(sqlite: SqliteHandle) -> None:
    """The offline check finds nothing wrong."""
    await sqlite.close()
    summary = verify_store(sqlite.directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong == ()
    await sqlite.open()


def flipped(payload: bytes) -> bytes:
    """The payload with its last bit flipped."""
    return payload[:-1] + bytes([payload[-1] ^ 1])


def copy_live_files(directory: Path, copy: Path) -> None:
    """Copy what a power cut would leave. Right only as long as the log is too short for a checkpoint."""
    copy.mkdir()
    for name in ("store.db", "store.db-wal"):
        if (directory / name).exists():
            shutil.copyfile(directory / name, copy / name)


class MemoryHandle(Handle):
    def __init__(self) -> None:
        self.memory = MemoryStore(leaf_digest=leaf_digest, index_rows=index_rows)
        self.store = self.memory

    async def restart(self) -> None:
        await self.memory.close()
        self.store = self.memory = self.memory.reopen()

    async def crash(self) -> None:
        self.memory.crash()
        self.store = self.memory = self.memory.reopen()

    async def rot(self, shard: ShardId, entity: Entity) -> None:
        held = self.memory._image.shards[shard]
        held.rotten[entity] = flipped(held.records[entity].payload)


@asynccontextmanager
async def open_handle(kind: str, directory: Path) -> AsyncIterator[Handle]:
    if kind == "memory":
        yield MemoryHandle()
        return
    handle = SqliteHandle(directory)
    await handle.open()
    try:
        yield handle
    finally:
        await handle.close()


class Loop:
    """A Trio loop in a thread, for a state machine whose rules are plain functions."""

    def __init__(self, clock: trio.abc.Clock | None = None) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: trio.run(self._main, clock=clock))
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        self._ready.set()
        await self._end.wait()

    def run(self, function: Callable[[], Awaitable[T]]) -> T:
        return trio.from_thread.run(function, trio_token=self._token)

    def stop(self) -> None:
        self._token.run_sync_soon(self._end.set)
        self._thread.join()
