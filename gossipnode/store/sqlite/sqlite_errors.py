"""What an error of SQLite means for a store. No other module knows SQLite's error codes."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from gossipnode.store.interface import RecordDamagedError, StoreDamagedError, StoreError, StoreFullError

FULL_BELOW_BYTES = 1 << 20
"""An I/O error counts as a full disk if the disk has less free space than this."""


class StoreBusyError(StoreError):
    """Another program holds a lock inside the database file. A later try may work."""


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The error to raise for an error of SQLite about the database file `path`."""
    # Errors that Python's sqlite3 module raises of its own accord have no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _disk_full(path)):
        return StoreFullError(f"no space left for {path}: free some; reads go on, and writes work again then")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(f"another program has {path} locked: close it")
    return StoreError(f"{path}: {error}")


def damaged(path: Path, finding: str) -> StoreDamagedError:
    """The error for a file that cannot be used. It says what to do."""
    return StoreDamagedError(
        f"{path} is damaged or no store of gossipnode ({finding}): start with --reseed to move it aside and"
        " fill this node again from its peers"
    )


def record_damaged(name: str) -> RecordDamagedError:
    """The error for reading a record that was set aside."""
    return RecordDamagedError(
        f"record {name} is damaged on this node's disk and set aside: the next repair round brings it back"
        " from a replica"
    )


def _disk_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < FULL_BELOW_BYTES
