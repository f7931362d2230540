"""What an error of SQLite means for a store. No other module knows SQLite's error codes."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from gossipnode.store.interface import StoreDamagedError, StoreError, StoreFullError

FULL_BELOW_BYTES = 1 << 20
"""An I/O error counts as a full disk if the disk has less free space than this."""

PROBE_NAME = "store.probe"
PROBE_BYTES = 1 << 20
"""What a probing write adds to the size of the largest file. It is removed at once."""


class StoreBusyError(StoreError):
    """Another program holds a lock inside the database file. A later try may work."""


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The error to raise for an error of SQLite about the database file `path`."""
    # Errors that Python's sqlite3 module raises of its own accord have no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(_ROTTEN_SCHEMA):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_full(path)):
        return no_space(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"another program has {path} locked: close it")
    return StoreError(f"{path}: {error}")


def no_space(path: Path) -> StoreFullError:
    """The error for a write that there is no space for."""
    return StoreFullError(f"no space left for {path}: free some; reads go on, and writes work again then")


def damaged(path: Path, finding: str) -> StoreDamagedError:
    """The error for a file that cannot be used. It says what to do."""
    return StoreDamagedError(
        f"{path} is damaged or no store of gossipnode ({finding}): start with --reseed to move it aside, and"
        " a member of a cluster also with --join ADDR --replace, so that the others fill it again"
    )


def _disk_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < FULL_BELOW_BYTES or growth_refused(path)


def growth_refused(path: Path) -> bool:
    """Whether a quota or a limit on the size of files keeps the store from growing. A probing write tells."""
    probe = path.with_name(PROBE_NAME)
    try:
        size = max(
            file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if file.exists()
        )
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        return isinstance(error, OSError) and error.errno in NO_SPACE
    try:
        # Beyond the end of the largest file, since a limit may be on the size of one file.
        written = os.pwrite(descriptor, bytes(PROBE_BYTES), size)
    except OSError as error:
        return error.errno in NO_SPACE
    else:
        return written < PROBE_BYTES
    finally:
        os.close(descriptor)
        probe.unlink(missing_ok=True)


_ROTTEN_SCHEMA = ("no such ", "malformed database schema", "no query solution")
"""How SQLite's messages begin when it does not find what every file of ours has."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says when a file cannot grow."""
