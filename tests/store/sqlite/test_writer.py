"""The queue before the writer's thread: bounded, fair, and honest about what it could not do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio
import trio.testing

from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.store.interface import StoreClosedError, StoreError
from gossipnode.store.sqlite import commit
from gossipnode.store.sqlite import writer as sqlite_writer
from tests.records import bare_record
from tests.store.support import SHARD, SqliteHandle, placed, scan_all


async def test_what_is_queued_stays_bounded(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_RECORDS", 10)
    monkeypatch.setattr(sqlite_writer, "COMMIT_RECORDS", 4)
    writer = sqlite.sqlite._writer
    most: list[int] = []

    async def write(task: int, records: int) -> None:
        batch = [bare_record(f"name/{task}-{number}") for number in range(records)]
        results = await sqlite.store.write(placed(*batch))
        most.append(writer._queued_records)
        assert [result.outcome for result in results] == [WriteOutcome.STORED] * records

    async with trio.open_nursery() as nursery:
        for task in range(40):
            nursery.start_soon(write, task, 3)
        nursery.start_soon(write, 99, 50)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            most.append(writer._queued_records)
    # A write larger than the whole queue goes alone.
    assert max(count for count in most if count != 51) <= 10
    assert writer._queued_records == writer._queued_bytes == 0
    assert len(await scan_all(sqlite.store, page=300)) == 40 * 3 + 50


async def test_bytes_are_bounded_too(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_BYTES", 5000)
    writer = sqlite.sqlite._writer
    async with trio.open_nursery() as nursery:
        for task in range(20):
            nursery.start_soon(sqlite.store.write, placed(bare_record(f"name/{task}", bytes(2000))))
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            assert writer._queued_bytes <= 5000
    assert len(await scan_all(sqlite.store, page=300)) == 20


async def test_waiting_for_room_can_be_cancelled(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_RECORDS", 1)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(sqlite.store.write, placed(bare_record(f"name/{number}")))
        with trio.CancelScope() as scope:
            scope.cancel()
            await sqlite.store.write(placed(bare_record("name/never")))
        assert scope.cancelled_caught
    assert {record.entity.id for record in await scan_all(sqlite.store)} == set("01234")


async def test_an_unexpected_error_ends_the_store(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.store.write(placed(bare_record("name/1")))

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(commit, "held_leaves", fail)
        with pytest.raises(StoreClosedError, match="a defect"):
            await sqlite.store.write(placed(bare_record("name/2")))
    assert "a defect" in str(await sqlite.sqlite.wait_failed())
    assert sqlite.sqlite.failure is not None
    with pytest.raises(StoreClosedError):
        await sqlite.store.write(placed(bare_record("name/3")))
    # Nothing of it was kept, and the next start checks the file and goes on.
    await sqlite.restart()
    assert await scan_all(sqlite.store) == [bare_record("name/1")]


async def test_a_lock_held_by_another_program_fails_one_write(sqlite: SqliteHandle) -> None:
    sqlite.sqlite._file.writer.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program"):
            await sqlite.store.write(placed(bare_record("name/1")))
        assert await sqlite.store.scan(SHARD, limit=1) == []
        intruder.execute("ROLLBACK")
    await sqlite.store.write(placed(bare_record("name/1")))
    assert await scan_all(sqlite.store) == [bare_record("name/1")]
