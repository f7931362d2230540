"""Copies the database of a running store in one transaction, on a connection of its own.

The copy is what the store was at one commit, and writes go on meanwhile. The log of the store cannot be begun
again before the copy is done, so it grows. All functions block: call them in a thread.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gossipnode.store.snapshot.manifest import SnapshotError
from gossipnode.store.snapshot.snapshot_files import no_space_for_snapshot
from gossipnode.store.sqlite.disk.disk_space import has_room_beside
from gossipnode.store.sqlite.disk.schema import check_identity
from gossipnode.store.sqlite.sqlite_errors import store_error

CopyProgress: TypeAlias = Callable[[int, int], None]
"""Called with (bytes done, bytes in all, about) many times a second. What it raises ends the work."""

STEPS_BETWEEN_LOOKS = 100_000
"""Steps of SQLite's machine after which progress is told and the disk is looked at: about 50 ms. Each
look has to wait for Python's lock, which the loop of a busy node hardly ever gives up."""

SYNC_EVERY_BYTES = 16 << 20
"""Bytes of the copy that may be in the system's cache alone. The commits of the store wait for the disk, too,
and would wait long if they met the whole copy there."""

CACHE_KIB = 8 << 10
HASH_CHUNK_BYTES = 16 << 20
"""What is read and hashed without Python's lock, see `STEPS_BETWEEN_LOOKS`."""


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What a copy says of itself."""

    schema: int
    commit: int
    last_stamp: int
    records: int
    tombstones: int
    notes: Mapping[str, bytes]
    """All notes of the store, by key."""


def copy_database(
    database: Path, target: Path, told: CopyProgress, *, steps_between_looks: int = STEPS_BETWEEN_LOOKS
) -> None:
    """Copy the database of a running store into a new file, which is durable afterwards.

    Both disks keep what the store needs to go on.

    Raises:
        StoreFullError: there is too little space for the copy, or for the log of the store meanwhile.
        StoreError: the database cannot be read.
        OSError: the new file cannot be made.
    """
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _Copying(database, target, descriptor, told).run(steps_between_looks)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Copying:
    """One copy under way. SQLite calls `_look` from within its statement."""

    def __init__(self, database: Path, target: Path, descriptor: int, told: CopyProgress) -> None:
        self._database = database
        self._target = target
        self._descriptor = descriptor
        self._told = told
        self._bytes_in_all = 0
        self._bytes_synced = 0
        self._problem: BaseException | None = None

    def run(self, steps_between_looks: int) -> None:
        try:
            # Opened as it is there: a connection by its name alone would make a file that is gone.
            uri = f"{self._database.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                self._bytes_in_all = _bytes_used(connection)
                self._check_space(self._bytes_in_all)
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                connection.set_progress_handler(self._look, steps_between_looks)
                connection.execute("VACUUM INTO ?", (str(self._target),))
                connection.set_progress_handler(None, 0)
                self._move_log(connection)
        except sqlite3.Error as error:
            if self._problem is not None:
                raise self._problem from None
            raise store_error(error, self._target) from error

    def _look(self) -> int:
        """Tell of the progress; gives 1 to have the copy ended."""
        try:
            size = os.fstat(self._descriptor).st_size
            if size - self._bytes_synced >= SYNC_EVERY_BYTES:
                self._bytes_synced = size
                os.fdatasync(self._descriptor)
                self._check_space()
            self._told(size, max(size, self._bytes_in_all))
        except BaseException as problem:  # noqa: BLE001 - raised again once SQLite has returned
            self._problem = problem
            return 1
        return 0

    def _check_space(self, left_bytes: int = 0) -> None:
        for directory, growth_bytes in ((self._target.parent, left_bytes), (self._database.parent, 0)):
            if not has_room_beside(directory, growth_bytes):
                raise no_space_for_snapshot(self._target.parent.parent)

    def _move_log(self, connection: sqlite3.Connection) -> None:
        """Move into the database what the log has gathered meanwhile: else the next write would have to.

        Writes go on beside it.
        """
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def copy_facts(copy: Path) -> CopyFacts:
    """Read what a copy says of itself. Nothing is written.

    Raises:
        StoreError: it is no store of ours, or damaged.
    """
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as opened:
            schema = check_identity(opened, copy)
            meta = dict(opened.execute("SELECT key, value FROM meta").fetchall())
            records, tombstones = opened.execute(
                "SELECT total(records), total(tombstones) FROM slot"
            ).fetchone()
            notes = dict(opened.execute("SELECT key, value FROM note").fetchall())
    except sqlite3.Error as error:
        raise store_error(error, copy) from error
    return CopyFacts(
        schema,
        commit=int(meta.get("commits", 0)),
        last_stamp=int(meta.get("last_stamp", 0)),
        records=int(records),
        tombstones=int(tombstones),
        notes=notes,
    )


def file_sha256(path: Path, told: CopyProgress) -> str:
    """The SHA-256 of a file, in hex.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(HASH_CHUNK_BYTES))
        done = 0
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            done += count
            told(done, size)
    return digest.hexdigest()


def check_has_store(database: Path) -> None:
    """See to it that there is a file to copy.

    Raises:
        SnapshotError: the store is in memory alone, or its file is gone.
    """
    if not database.exists():
        raise SnapshotError(f"there is no file {database}: this node's store cannot be copied")


def _bytes_used(connection: sqlite3.Connection) -> int:
    """About how many bytes the copy will have: pages that hold nothing are left out."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {what}").fetchone()[0])
        for what in ("page_count", "freelist_count", "page_size")
    )
    return max(0, pages - free) * size
