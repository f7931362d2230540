"""Reads by key that come in one turn of the loop share a statement, and none of them pays for another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.store.interface import RecordDamagedError, StoreClosedError
from tests.store.sqlite.files import FILE_RECORDS, fill_file, rot_payload
from tests.store.support import OTHER_SHARD, SHARD, SqliteHandle, make_record, placed


@contextmanager
def statements(sqlite: SqliteHandle) -> Iterator[list[str]]:
    """The statements that the loop's connection runs within the block."""
    seen: list[str] = []
    reader: sqlite3.Connection = sqlite.store._file.reader
    reader.set_trace_callback(seen.append)
    try:
        yield seen
    finally:
        reader.set_trace_callback(None)


async def read_at_once(
    sqlite: SqliteHandle, asked: list[tuple[ShardId, Record]]
) -> dict[tuple[ShardId, str], Record | str | None]:
    """What tasks find that each read one record, all of them at once; the kind of an error instead of it."""
    found: dict[tuple[ShardId, str], Record | str | None] = {}

    async def read(shard: ShardId, record: Record) -> None:
        try:
            (found[shard, record.entity.id],) = await sqlite.store.read(shard, [record.entity])
        except (RecordDamagedError, StoreClosedError) as error:
            found[shard, record.entity.id] = type(error).__name__

    async with trio.open_nursery() as nursery:
        for shard, record in asked:
            nursery.start_soon(read, shard, record)
    return found


async def test_reads_of_one_turn_share_a_statement(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*FILE_RECORDS))
    missing = make_record("missing")
    asked = [(SHARD, record) for record in [*FILE_RECORDS[:20], missing]]
    asked += [(OTHER_SHARD, record) for record in FILE_RECORDS[:3]]
    with statements(sqlite) as seen:
        found = await read_at_once(sqlite, asked)
    assert found == {
        **{(SHARD, record.entity.id): record for record in FILE_RECORDS[:20]},
        (SHARD, "missing"): None,
        **{(OTHER_SHARD, record.entity.id): None for record in FILE_RECORDS[:3]},
    }
    assert len(seen) == 2, "one for each shard"


async def test_more_than_a_statement_holds_are_all_read(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*FILE_RECORDS))
    with statements(sqlite) as seen:
        found = await read_at_once(sqlite, [(SHARD, record) for record in FILE_RECORDS])
    assert list(found.values()).count(None) == 0
    assert len(found) == len(FILE_RECORDS)
    assert len(seen) == 2


async def test_a_rotten_record_spoils_no_other_read_of_its_turn(sqlite: SqliteHandle) -> None:
    rot_payload(await fill_file(sqlite))
    await sqlite.open()
    found = await read_at_once(sqlite, [(SHARD, record) for record in FILE_RECORDS])
    rotten = [key for key, each in found.items() if each == "RecordDamagedError"]
    assert len(rotten) == 1
    for record in FILE_RECORDS:
        if (SHARD, record.entity.id) not in rotten:
            assert found[SHARD, record.entity.id] == record
    again = await read_at_once(sqlite, [(SHARD, record) for record in FILE_RECORDS])
    assert again == found


async def test_a_read_that_is_given_up_takes_none_along(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*FILE_RECORDS))

    async def give_up() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await sqlite.store.read(SHARD, [FILE_RECORDS[0].entity])
        assert scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        assert await sqlite.store.read(SHARD, [FILE_RECORDS[1].entity]) == [FILE_RECORDS[1]]
        nursery.start_soon(give_up)
    with statements(sqlite) as seen:
        assert await sqlite.store.read(SHARD, [FILE_RECORDS[2].entity]) == [FILE_RECORDS[2]]
    assert len(seen) == 1


async def test_a_closed_store_tells_every_reader(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*FILE_RECORDS))
    await sqlite.close()
    found = await read_at_once(sqlite, [(SHARD, record) for record in FILE_RECORDS[:4]])
    assert set(found.values()) == {"StoreClosedError"}


async def test_a_write_that_was_acknowledged_before_is_seen(sqlite: SqliteHandle) -> None:
    first = make_record("w", revision=1)

    async def keep_reading() -> None:
        while True:
            await sqlite.store.read(SHARD, [first.entity])

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(keep_reading)
        for revision in range(1, 30):
            record = make_record("w", revision=revision)
            await sqlite.store.write(placed(record))
            assert await sqlite.store.read(SHARD, [record.entity]) == [record]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [1, 2, 65])
async def test_several_records_of_one_reader(sqlite: SqliteHandle, count: int) -> None:
    await sqlite.store.write(placed(*FILE_RECORDS))
    wanted = FILE_RECORDS[:count]
    assert await sqlite.store.read(SHARD, [record.entity for record in wanted]) == wanted
