"""The queue of the writer's thread is bounded and fair, and a job that fails says so."""

from __future__ import annotations

import sqlite3
import threading

import pytest
import trio
import trio.testing

from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.store.interface import StoreClosedError
from gossipnode.store.sqlite import commit
from gossipnode.store.sqlite import writer as sqlite_writer
from gossipnode.store.sqlite.jobs import StepJob
from tests.store.support import SqliteHandle, make_record, placed, scan_all


async def test_what_is_queued_stays_bounded(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_RECORDS", 10)
    monkeypatch.setattr(sqlite_writer, "COMMIT_RECORDS", 4)
    writer = sqlite.sqlite._writer
    most: list[int] = []

    async def write(task: int, records: int) -> None:
        batch = [make_record(f"{task}-{number}") for number in range(records)]
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
    # A write that is larger than the whole queue (50 records, and one for the job) waits until it is alone.
    assert max(count for count in most if count != 51) <= 10
    assert writer._queued_records == writer._queued_bytes == 0
    assert len(await scan_all(sqlite.store, page=300)) == 40 * 3 + 50


async def test_bytes_are_bounded_too(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_BYTES", 5000)
    writer = sqlite.sqlite._writer
    async with trio.open_nursery() as nursery:
        for task in range(20):
            nursery.start_soon(sqlite.store.write, placed(make_record(str(task), payload=bytes(2000))))
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
            nursery.start_soon(sqlite.store.write, placed(make_record(str(number))))
        with trio.CancelScope() as scope:
            scope.cancel()
            await sqlite.store.write(placed(make_record("never")))
        assert scope.cancelled_caught
    assert {record.entity.id for record in await scan_all(sqlite.store)} == set("01234")


async def test_an_unexpected_error_ends_the_store(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.store.write(placed(make_record()))

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(commit, "held_leaves", fail)
        with pytest.raises(StoreClosedError, match="a defect"):
            await sqlite.store.write(placed(make_record("2")))
    assert "a defect" in str(await sqlite.sqlite.wait_failed())
    assert sqlite.failure is not None
    with pytest.raises(StoreClosedError):
        await sqlite.store.write(placed(make_record("3")))
    # Nothing of the failed write was kept. The next start checks the file and goes on.
    await sqlite.restart()
    assert await scan_all(sqlite.store) == [make_record()]


async def test_what_waits_for_room_is_refused_when_the_store_closes(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "WRITE_QUEUE_RECORDS", 1)
    gate = threading.Event()
    refused: list[str] = []

    def hold_the_thread(_: sqlite3.Connection) -> int:
        gate.wait()
        return 0

    async def write(identity: str) -> None:
        with pytest.raises(StoreClosedError):
            await sqlite.store.write(placed(make_record(identity)))
        refused.append(identity)

    async with trio.open_nursery() as nursery:
        try:
            nursery.start_soon(sqlite.sqlite._writer.do, StepJob(hold_the_thread))
            await trio.testing.wait_all_tasks_blocked()
            for number in range(4):
                nursery.start_soon(write, str(number))
            await trio.testing.wait_all_tasks_blocked()
            assert refused == []
            nursery.start_soon(sqlite.sqlite.close)
            await trio.testing.wait_all_tasks_blocked()
            assert sorted(refused) == list("0123")
        finally:
            gate.set()
    # Closing once more does nothing.
    await sqlite.sqlite.close()
    await sqlite.restart()
    assert await scan_all(sqlite.store) == []
