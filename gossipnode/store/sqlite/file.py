"""The database file of a store: made, recognised, checked, moved aside. Blocking: call it in a thread.

A file that is not certainly ours and whole is never written to. A new file appears under its name only when
it is complete, so an empty or foreign file under that name is damage, not a beginning.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from gossipnode.core.model.version import Version
from gossipnode.store.damage import DamageError, intact
from gossipnode.store.interface import StoreDamagedError, StoreError, StoreTooNewError
from gossipnode.store.sqlite.directory_lock import DirectoryLock
from gossipnode.store.sqlite.sqlite_errors import damaged, store_error

WRITER_CACHE_KIB = 16 << 10
READER_CACHE_KIB = 8 << 10

READ_AHEAD_BYTES = 1 << 20

WAL_CHECKPOINT_PAGES = 16_000
WAL_KEPT_BYTES = 64 << 20
"""What is left of a write-ahead log that had grown beyond it."""

FILE_NAME = "store.db"
APPLICATION_ID = 0x676F7370
OLDEST_SQLITE = (3, 35, 0)
_SIDE_FILES = ("", "-wal", "-shm")

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE shard (sid INTEGER PRIMARY KEY, grp BLOB NOT NULL, number INT NOT NULL,"
        " UNIQUE (grp, number))",
        # Narrow rows in the order of the tree: a slot is hashed without touching a payload.
        "CREATE TABLE leaf (sid INT NOT NULL, slot INT NOT NULL, entity BLOB NOT NULL,"
        " mod_revision INT NOT NULL, delete_time INT NOT NULL, digest BLOB NOT NULL, sha BLOB,"
        " rid INT NOT NULL, PRIMARY KEY (sid, slot, entity)) WITHOUT ROWID",
        # In the order of rid a bulk load appends to it, and payloads are read nearly in file order.
        "CREATE INDEX leaf_unhashed ON leaf (sid, rid) WHERE sha IS NULL",
        "CREATE TABLE payload (rid INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
        "CREATE TABLE slot (sid INT NOT NULL, slot INT NOT NULL, generation INT NOT NULL,"
        " records INT NOT NULL, tombstones INT NOT NULL, unhashed INT NOT NULL, sha BLOB,"
        " PRIMARY KEY (sid, slot)) WITHOUT ROWID",
        "INSERT INTO meta VALUES ('clean', 1), ('last_stamp', 0), ('dialect', '')",
    ),
    (
        # A number that stood for a dropped shard is never given again: a digest that was on its way then
        # cannot reach another shard.
        "CREATE TABLE new_shard (sid INTEGER PRIMARY KEY AUTOINCREMENT, grp BLOB NOT NULL,"
        " number INT NOT NULL, incarnation INT NOT NULL, UNIQUE (grp, number, incarnation))",
        "INSERT INTO new_shard SELECT sid, grp, number, 0 FROM shard",
        "DROP TABLE shard",
        "ALTER TABLE new_shard RENAME TO shard",
        "CREATE TABLE note (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        # Built up to the leaf at (slot, entity); slot is null when all leaves are in it. An index that nobody
        # wants any more has no sid until its last row is gone.
        "CREATE TABLE tag_index (iid INTEGER PRIMARY KEY AUTOINCREMENT, sid INT, tag BLOB NOT NULL,"
        " slot INT, entity BLOB, UNIQUE (sid, tag))",
        "CREATE INDEX tag_index_due ON tag_index (iid) WHERE sid IS NULL OR slot IS NOT NULL",
        "CREATE TABLE tag_row (iid INT NOT NULL, kind INT NOT NULL, key BLOB NOT NULL, entity BLOB NOT NULL,"
        " PRIMARY KEY (iid, kind, key, entity)) WITHOUT ROWID",
    ),
)
"""Statements that lead from schema version i to i + 1. Only ever added to."""


@dataclass(frozen=True, slots=True)
class StoreFile:
    """An open database file, checked, under its lock. `close_readers`, then `close_file` end it."""

    path: Path
    lock: DirectoryLock
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    snapshot: sqlite3.Connection
    """A second reader, for reads that stay in one transaction for longer."""
    moved_aside: Path | None
    """What a damaged file is called now, when there was one and reseeding was asked for."""


def open_file(directory: Path, *, dialect: str, reseed: bool) -> StoreFile:
    """Open the store of a directory, or make a new one; see `open_sqlite_store` for the errors."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE_NAME
    with contextlib.ExitStack() as undo:
        lock = DirectoryLock(directory)
        undo.callback(lock.release)
        try:
            moved_aside, writer = _open_writer(path, reseed=reseed)
            undo.callback(writer.close)
            _take_dialect(writer, dialect)
            reader = connect_reader(path)
            undo.callback(reader.close)
            snapshot = connect_reader(path)
        except sqlite3.Error as error:
            raise store_error(error, path) from error
        undo.pop_all()
    return StoreFile(path, lock, writer, reader, snapshot, moved_aside)


def close_readers(file: StoreFile) -> None:
    """Close the readers' connections, which must not be in use."""
    file.reader.close()
    file.snapshot.close()


def close_file(file: StoreFile, *, clean: bool) -> None:
    """Close the writer's connection and let go of the lock. The readers' must be closed before.

    `clean` says that the next start need not check the file.
    """
    try:
        # On a full disk the mark cannot be set: then the next start checks the file, which is harmless.
        with contextlib.suppress(sqlite3.Error):
            file.writer.execute(
                "UPDATE meta SET value = ?1 WHERE key = 'clean' AND value <> ?1", (int(clean),)
            )
            file.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file.writer.close()
    finally:
        file.lock.release()


def connect_reader(path: Path, *, uri: bool = False, target: str = "") -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(
        target or path, uri=uri, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        _configure(connection, cache_kib=READER_CACHE_KIB)
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check_identity(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of a file that is certainly ours.

    Raises:
        StoreDamagedError: it is not ours.
        StoreTooNewError: a newer gossipnode wrote it.
    """
    if _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise damaged(path, "it lacks the mark of one")
    version = _number(connection, "PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise StoreTooNewError(
            f"{path} has schema version {version}, this gossipnode knows up to {len(MIGRATIONS)}: start the"
            " newer gossipnode that wrote it"
        )
    return version


def _open_writer(path: Path, *, reseed: bool) -> tuple[Path | None, sqlite3.Connection]:
    if not _exists(path):
        _create(path)
        return None, _open_existing(path, thorough=False)
    try:
        return None, _open_existing(path, thorough=reseed)
    except (sqlite3.Error, StoreError) as error:
        problem = store_error(error, path) if isinstance(error, sqlite3.Error) else error
        if not (reseed and isinstance(problem, StoreDamagedError)):
            raise problem from error
    moved_aside = _move_aside(path)
    _create(path)
    return moved_aside, _open_existing(path, thorough=False)


def _exists(path: Path) -> bool:
    # A log without its database must not be replayed into a new one.
    return path.exists() or path.with_name(path.name + "-wal").exists()


def _open_existing(path: Path, *, thorough: bool) -> sqlite3.Connection:
    if not path.exists():
        raise damaged(path, "the file is missing, its log is there")
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        version = check_identity(connection, path)
        _configure(connection, cache_kib=WRITER_CACHE_KIB)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        connection.execute("PRAGMA secure_delete = FAST")
        clean = _number(connection, "SELECT value FROM meta WHERE key = 'clean'")
        if thorough:
            _check_pages(connection, path, "integrity_check")
            _check_payloads(connection, path)
        elif not clean:
            _check_pages(connection, path, "quick_check")
        _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_pages(connection: sqlite3.Connection, path: Path, check: str) -> None:
    _read_ahead(path)
    (finding,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    if finding != "ok":
        raise damaged(path, str(finding).replace("\n", " "))


def _check_payloads(connection: sqlite3.Connection, path: Path) -> None:
    """Rot inside a payload is no concern of SQLite's, and would be met again after the next start."""
    columns = "mod_revision, delete_time, digest, bytes"
    for *version, payload in connection.execute(f"SELECT {columns} FROM leaf JOIN payload USING (rid)"):
        try:
            intact(payload, Version(*version))
        except DamageError as finding:
            raise damaged(path, str(finding)) from finding


def _read_ahead(path: Path) -> None:
    """Bring the file into the system's cache in order.

    The check reads pages in the order of its trees: from a cold disk 100 s for 2 GB, after this 7 s.
    """
    buffer = bytearray(READ_AHEAD_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _create(path: Path) -> None:
    new = path.with_name(path.name + ".new")
    for side in (*_SIDE_FILES, "-journal"):
        new.with_name(new.name + side).unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, 0)
        connection.execute("PRAGMA journal_mode = WAL")
    new.rename(path)
    _sync_directory(path.parent)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _take_dialect(connection: sqlite3.Connection, dialect: str) -> None:
    """Forget the digests of another dialect: they are computed anew from the payloads."""
    (kept,) = connection.execute("SELECT value FROM meta WHERE key = 'dialect'").fetchone()
    if kept == dialect:
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE leaf SET sha = NULL WHERE sha IS NOT NULL")
    connection.execute(
        "UPDATE slot SET sha = NULL, generation = generation + 1, unhashed = records + tombstones"
    )
    connection.execute("UPDATE meta SET value = 0 WHERE key = 'clean'")
    connection.execute("UPDATE meta SET value = ? WHERE key = 'dialect'", (dialect,))
    connection.execute("COMMIT")


def _move_aside(path: Path) -> Path:
    number = 1
    while any(path.with_name(f"{path.name}.damaged-{number}{side}").exists() for side in _SIDE_FILES):
        number += 1
    aside = path.with_name(f"{path.name}.damaged-{number}")
    for side in _SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + side).rename(aside.with_name(aside.name + side))
    _sync_directory(path.parent)
    return aside


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _configure(connection: sqlite3.Connection, *, cache_kib: int) -> None:
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA temp_store = MEMORY")


def _number(connection: sqlite3.Connection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
