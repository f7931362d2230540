"""What errors of SQLite become. On a full disk a write fails whole, reads go on, and later writes work."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.store.interface import StoreDamagedError, StoreError, StoreFullError
from gossipnode.store.sqlite import sqlite_errors
from gossipnode.store.sqlite.sqlite_errors import StoreBusyError, store_error
from tests.store.support import (
    SHARD,
    Handle,
    SqliteHandle,
    make_record,
    placed,
    rebuilt,
    scan_all,
)

BIG = bytes(2000)


async def _fill_up(handle: Handle) -> list[str]:
    """Write until a write fails; returns the ids that were acknowledged."""
    kept: list[str] = []
    for number in range(1000):
        ids = [f"{number}-{each}" for each in range(10)]
        try:
            await handle.store.write(placed(*(make_record(each, payload=BIG) for each in ids)), stamp=number)
        except StoreFullError:
            return kept
        kept += ids
    raise AssertionError("the disk never was full")


async def _check(handle: Handle, kept: list[str]) -> None:
    found = await scan_all(handle.store, page=100)
    assert sorted(record.entity.id for record in found) == sorted(kept)
    assert await handle.store.tree(SHARD) == rebuilt(found)
    assert (await handle.store.counts(SHARD)).records == len(kept)
    assert await handle.store.last_stamp() == len(kept) // 10 - 1


@pytest.mark.slow
async def test_a_limit_on_pages(sqlite: SqliteHandle) -> None:
    # The limit belongs to the connection of the writer, which is idle here.
    connection = sqlite.sqlite._file.writer
    connection.execute("PRAGMA max_page_count = 150")
    kept = await _fill_up(sqlite)
    assert kept
    await _check(sqlite, kept)
    connection.execute("PRAGMA max_page_count = 100000")
    (result,) = await sqlite.store.write(placed(make_record("later", payload=BIG)))
    assert result.outcome is WriteOutcome.STORED
    assert sqlite.failure is None
    await sqlite.restart()
    assert len(await scan_all(sqlite.store)) == len(kept) + 1


async def test_a_lock_held_by_another_program_fails_one_write(sqlite: SqliteHandle) -> None:
    sqlite.sqlite._file.writer.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program"):
            await sqlite.store.write(placed(make_record()))
        assert await sqlite.store.scan(SHARD, limit=1) == []
        intruder.execute("ROLLBACK")
    await sqlite.store.write(placed(make_record()))
    assert await scan_all(sqlite.store) == [make_record()]


@pytest.mark.parametrize(
    ("code", "expected", "says"),
    [
        (sqlite3.SQLITE_CORRUPT, StoreDamagedError, "--reseed"),
        (sqlite3.SQLITE_NOTADB, StoreDamagedError, "--reseed"),
        (sqlite3.SQLITE_FULL, StoreFullError, "no space left"),
        (sqlite3.SQLITE_BUSY, StoreBusyError, "another program"),
        (sqlite3.SQLITE_LOCKED, StoreBusyError, "another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError, "another program"),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreDamagedError, "--reseed"),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, StoreDamagedError, "--reseed"),
        (sqlite3.SQLITE_IOERR, StoreError, "as SQLite says"),
        (sqlite3.SQLITE_ERROR, StoreError, "as SQLite says"),
        (None, StoreError, "as SQLite says"),
    ],
)
def test_each_code_has_its_error(
    directory: Path, code: int | None, expected: type[Exception], says: str
) -> None:
    raised = sqlite3.OperationalError("as SQLite says")
    if code is not None:
        raised.sqlite_errorcode = code
    error = store_error(raised, directory / "store.db")
    assert type(error) is expected
    assert says in str(error)
    assert str(directory / "store.db") in str(error)


def test_an_io_error_without_space_means_a_full_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = sqlite3.OperationalError("disk I/O error")
    raised.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    assert type(store_error(raised, directory / "store.db")) is StoreError
    monkeypatch.setattr(sqlite_errors, "FULL_BELOW_BYTES", 1 << 62)
    assert type(store_error(raised, directory / "store.db")) is StoreFullError
    # Of a disk that is gone, nobody can ask whether it was full.
    assert type(store_error(raised, directory / "gone" / "store.db")) is StoreError


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond a size, as with `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_limit_on_the_size_of_files_is_a_full_disk(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record("first", payload=BIG)))
    log = (sqlite.directory / "store.db-wal").stat().st_size
    many = [make_record(str(number), payload=BIG) for number in range(100)]
    with largest_file(log + 10_000):
        for _ in range(2):
            with pytest.raises(StoreFullError, match="no space left"):
                await sqlite.store.write(placed(*many))
        assert [each.entity.id for each in await scan_all(sqlite.store)] == ["first"]
    assert sqlite.failure is None
    assert not (sqlite.directory / "store.probe").exists()
    await sqlite.store.write(placed(*many))
    await sqlite.restart()
    assert len(await scan_all(sqlite.store)) == 101


@pytest.mark.parametrize(
    ("code", "full"), [(errno.EDQUOT, True), (errno.EFBIG, True), (errno.ENOSPC, True), (errno.EIO, False)]
)
def test_a_probing_write_tells_a_quota_from_a_broken_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch, code: int, full: bool
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, "refused")

    (directory / "store.db").write_bytes(b"")
    monkeypatch.setattr(os, "pwrite", refuse)
    raised = sqlite3.OperationalError("disk I/O error")
    raised.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    error = store_error(raised, directory / "store.db")
    assert type(error) is (StoreFullError if full else StoreError)
    assert [each.name for each in directory.iterdir()] == ["store.db"]
