"""Reads of the file, on the loop: each is a short transaction, and none is begun once the store is closed.

A read must not hold `transaction` across an await. Only a tree needs one state for longer; for that there is
`snapshot`, on a connection of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from gossipnode.store.interface import StoreDamagedError, StoreError
from gossipnode.store.sqlite.disk.file import StoreFile
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.sqlite_errors import store_error

Result = TypeVar("Result")


class Reads:
    """Gives the reading connections, and turns SQLite's errors into those of the store.

    Every block raises StoreClosedError if the store is closed or has failed. Damage that SQLite itself finds
    makes the store fail; see `mending` for what happens to a rotten record.
    """

    __slots__ = ("_file", "_state")

    def __init__(self, file: StoreFile, state: OpenState) -> None:
        self._file = file
        self._state = state

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """All reads of the block see one state."""
        with self._errors(), _transaction(self._file.reader) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Generator[sqlite3.Connection]:
        """As `transaction`, and the block may await. One at a time; the log of the file grows meanwhile."""
        with self._errors(), _transaction(self._file.snapshot) as connection:
            yield connection

    def statement(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        """The result of one statement, which sees one state without a transaction."""
        self._state.check_open()
        try:
            return read(self._file.reader)
        except sqlite3.Error as raised:
            raise self._told(raised) from raised

    @contextmanager
    def _errors(self) -> Generator[None]:
        self._state.check_open()
        try:
            yield
        except sqlite3.Error as raised:
            raise self._told(raised) from raised

    def _told(self, raised: sqlite3.Error) -> StoreError:
        """The error for callers; with damage the store fails."""
        error = store_error(raised, self._file.path)
        if isinstance(error, StoreDamagedError):
            self._state.fail(error)
        return error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
