"""The database file of a store: how it is opened, made, checked, moved aside and closed.

A file is written to only after it is certain to be ours and whole. A new file gets its name only when it is
complete, so an empty or foreign file of that name is damage. The functions block: call them in a thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import structlog

from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.store.interface import LOST_COMMITS_NOTE, StoreDamagedError, StoreError, StoreFullError
from gossipnode.store.sqlite.disk.directory_lock import DirectoryLock
from gossipnode.store.sqlite.disk.log_rot import lost_commits
from gossipnode.store.sqlite.disk.reserve import give_up_reserve, make_reserve
from gossipnode.store.sqlite.disk.schema import check_identity, migrate
from gossipnode.store.sqlite.sqlite_errors import damaged, store_error
from gossipnode.store.sqlite.tables.rows import keep_note
from gossipnode.store.sqlite.tables.set_aside import set_all_aside

WRITER_CACHE_KIB = 16 << 10
READER_CACHE_KIB = 8 << 10

READ_AHEAD_BYTES = 1 << 20
"""Bytes that are read at once to bring a file into the system's cache."""

WAL_CHECKPOINT_PAGES = 16_000
"""Pages in the write-ahead log from which on a commit moves them into the database."""
WAL_KEPT_BYTES = 64 << 20
"""A write-ahead log that has grown beyond this is cut to it when it is begun again."""

FILE_NAME = "store.db"
OLDEST_SQLITE = (3, 35, 0)
_SIDE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class StoreFile:
    """An open database file, checked and locked. Close it with `close_readers` and then `close_file`."""

    path: Path
    lock: DirectoryLock
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    snapshot: sqlite3.Connection
    """A second reading connection, for reads that stay in one transaction for longer."""
    moved_aside: Path | None
    """Where a damaged file is now, if there was one and reseeding was asked for."""


def open_file(directory: Path, *, dialect: str | None, reseed: bool) -> StoreFile:
    """Open the file of a directory, or make a new one. `open_sqlite_store` lists the errors."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE_NAME
    try:
        file = _open_files(path, dialect=dialect, reseed=reseed)
    except StoreFullError:
        if not give_up_reserve(path):
            raise
        file = _open_files(path, dialect=dialect, reseed=reseed)
    else:
        make_reserve(path)
    return file


def _open_files(path: Path, *, dialect: str | None, reseed: bool) -> StoreFile:
    with contextlib.ExitStack() as undo:
        lock = DirectoryLock(path.parent)
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
    """Close the reading connections, which must not be in use."""
    file.reader.close()
    file.snapshot.close()


def close_file(file: StoreFile, *, clean: bool) -> None:
    """Close the writing connection and release the lock. The reading connections must be closed already.

    With `clean` the next start does not check the file.
    """
    try:
        # On a full disk the mark cannot be set. The next start then checks the file, which does no harm.
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


def _open_writer(path: Path, *, reseed: bool) -> tuple[Path | None, sqlite3.Connection]:
    if not _exists(path):
        _create(path)
        return None, _open_existing(path, thorough=False)
    try:
        return None, _open_existing(path, thorough=reseed)
    except (sqlite3.Error, StoreError, UnicodeDecodeError) as error:
        # Python's sqlite3 cannot decode a message that quotes a schema which has rotted.
        problem = error if isinstance(error, StoreError) else _opening_error(error, path)
        if not (reseed and isinstance(problem, StoreDamagedError)):
            raise problem from error
    moved_aside = _move_aside(path)
    _create(path)
    return moved_aside, _open_existing(path, thorough=False)


def _opening_error(error: sqlite3.Error | UnicodeDecodeError, path: Path) -> StoreError:
    return store_error(error, path) if isinstance(error, sqlite3.Error) else damaged(path, str(error))


def _exists(path: Path) -> bool:
    # A log without its database counts too: SQLite would replay it into a new database of this name.
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
        clean = _check_meta(connection, path)
        lost = 0 if clean else lost_commits(path)
        if lost:
            structlog.get_logger("gossipnode.store").error(
                "the log of the store is damaged: commits after the damage are lost",
                path=str(path),
                commits=lost,
            )
        if thorough:
            _check_pages(connection, path, "integrity_check")
        elif not clean:
            _check_pages(connection, path, "quick_check")
        migrate(connection, version)
        if lost:
            # Until this is durable nothing else is written, so that the next start would find the same.
            keep_note(connection, LOST_COMMITS_NOTE, str(lost).encode())
        if thorough:
            _set_rotten_aside(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_pages(connection: sqlite3.Connection, path: Path, check: str) -> None:
    _read_ahead(path)
    (finding,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    if finding != "ok":
        raise damaged(path, str(finding).replace("\n", " "))


def _set_rotten_aside(connection: sqlite3.Connection) -> None:
    """SQLite does not notice rot inside a record. The other records of the file are sound, and stay."""
    connection.execute("BEGIN IMMEDIATE")
    set_all_aside(connection)
    connection.execute("COMMIT")


def _read_ahead(path: Path) -> None:
    """Bring the file into the system's cache, from its beginning to its end.

    The check reads pages in the order of SQLite's trees. For 2 GB on a cold disk that takes 100 s, and 7 s
    after this.
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
        # It has to be said before the first table is made, so older files stay as they are.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(connection, 0)
        connection.execute("PRAGMA journal_mode = WAL")
    new.rename(path)
    _sync_directory(path.parent)


def _take_dialect(connection: sqlite3.Connection, dialect: str | None) -> None:
    """Forget the digests of another dialect. They will be computed again from the payloads."""
    (kept,) = connection.execute("SELECT value FROM meta WHERE key = 'dialect'").fetchone()
    if dialect in (None, kept):
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


def _check_meta(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the last stop was clean, by the table meta.

    Raises:
        StoreDamagedError: the table lacks an entry, or has one without sense.
    """
    found = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    clean, stamp, dialect = (found.get(key) for key in ("clean", "last_stamp", "dialect"))
    commits = found.get("commits", 0)
    if clean not in (0, 1) or not isinstance(dialect, str):
        raise damaged(path, f"the table meta has {clean!r} for clean and {dialect!r} for dialect")
    if not isinstance(stamp, int) or not 0 <= stamp <= STAMP_MAX_NANOSECONDS:
        raise damaged(path, f"the table meta has {stamp!r} for last_stamp")
    if not isinstance(commits, int) or commits < 0:
        raise damaged(path, f"the table meta has {commits!r} for commits")
    return bool(clean)
