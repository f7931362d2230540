"""What others can do to the files of an open store: remove them, or let their log grow without end.

SQLite goes on with files that were removed, and each write would be acknowledged into nothing. So the names
are looked at every few seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from gossipnode.store.interface import StoreError

WAL_WARN_BYTES = 256 << 20
"""A log above this is told: usually it stays below 64 MiB."""


class DiskWatch:
    """Compares the files with those that were opened. Its functions block: call them in a thread."""

    __slots__ = ("_database", "_log", "_log_is_large", "_opened", "log_bytes")

    def __init__(self, database: Path) -> None:
        """Watch the database file, its log and their directory, which must be open already."""
        self._database = database
        self._log = structlog.get_logger("gossipnode.store")
        self._log_is_large = False
        self.log_bytes = 0
        """The size of the log at the last look."""
        watched = (database.parent, database, _log_path(database))
        self._opened = {path: found for path in watched if (found := _identity(path))}

    def look(self) -> StoreError | None:
        """The error that ends the store, if its files are not there any more. Warns of a large log."""
        for path, opened in self._opened.items():
            try:
                found = _identity(path)
            except OSError:
                # An error of the disk says nothing about the file. The next look may tell.
                continue
            if found != opened:
                return StoreError(
                    f"{path} was removed or replaced under the running node: put the directory back and start"
                    " again, or start with an empty one to fill this node from its peers"
                )
        self._look_at_log()
        return None

    def _look_at_log(self) -> None:
        path = _log_path(self._database)
        try:
            size = path.stat().st_size
        except OSError:
            return
        self.log_bytes = size
        large = size > WAL_WARN_BYTES
        if large and not self._log_is_large:
            self._log.warning(
                "the log of the store grows: wait for the snapshot, or end the program that reads the file",
                path=str(path),
                bytes=size,
            )
        self._log_is_large = large


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a path, or None if nothing is there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _log_path(database: Path) -> Path:
    return database.with_name(database.name + "-wal")
