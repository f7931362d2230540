"""Indexes on disk: rot, writes that fail half-way, and building beside other work."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio

from gossipnode.store.interface import IndexState, StoreFullError
from tests.store.support import (
    SHARD,
    SqliteHandle,
    assert_sound,
    check_indexes,
    make_record,
    placed,
    scan_all,
    tagged,
)


def _rot(handle: SqliteHandle) -> None:
    with closing(sqlite3.connect(handle.directory / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE payload SET bytes = zeroblob(20) WHERE rid = 1")


async def test_rot_met_while_an_index_follows_a_write_is_written_over(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.close()
    _rot(sqlite)
    await sqlite.open()
    # The old rows of the record cannot be told from its payload, so they are looked for.
    await sqlite.store.write(placed(tagged(revision=2, n=2)))
    assert sqlite.failure is None
    await check_indexes(sqlite.store)
    await assert_sound(sqlite)


async def test_rot_met_while_an_index_is_built_leaves_the_record_out(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.close()
    _rot(sqlite)
    await sqlite.open()
    while await sqlite.store.build_indexes(limit=10):
        pass
    assert sqlite.failure is None
    assert await scan_all(sqlite.store) == []
    await check_indexes(sqlite.store)
    await sqlite.store.write(placed(tagged(n=1)))
    await check_indexes(sqlite.store)
    await assert_sound(sqlite)


@pytest.mark.slow
async def test_a_failed_write_leaves_the_index_as_it_was(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    connection = sqlite.sqlite._file.writer
    connection.execute("PRAGMA max_page_count = 70")
    failed = 0
    for revision in range(1, 20):
        batch = [
            tagged(str(each), revision=revision, n=revision, m=each, text="x" * 1000)
            for each in range(revision * 10)
        ]
        try:
            await sqlite.store.write(placed(*batch))
            await sqlite.store.want_index(SHARD, "m")
            await sqlite.store.build_indexes(limit=50)
        except StoreFullError:
            failed += 1
        await check_indexes(sqlite.store)
    assert 0 < failed < 19
    connection.execute("PRAGMA max_page_count = 100000")
    await sqlite.store.want_index(SHARD, "m")
    while await sqlite.store.build_indexes(limit=1000):
        pass
    await sqlite.store.write(placed(tagged("0", revision=99, n=99, m=99)))
    assert set(sqlite.store.indexes(SHARD).values()) == {IndexState.READY}
    await check_indexes(sqlite.store)


async def test_indexes_wanted_together_share_the_reading(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*(tagged(str(number), n=number) for number in range(60))))
    await sqlite.store.want_index(SHARD, "n")
    assert await sqlite.store.build_indexes(limit=20) == 20
    await sqlite.store.want_index(SHARD, "a")
    await sqlite.store.want_index(SHARD, "b")
    taken = []
    while part := await sqlite.store.build_indexes(limit=1000):
        taken.append(part)
    # 40 records for the first index, and then 60 for the other two together.
    assert sum(taken) == 100
    await check_indexes(sqlite.store)


async def test_nothing_to_build_costs_no_commit(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.restart()
    before = sqlite.sqlite._file.writer.total_changes
    assert await sqlite.store.build_indexes(limit=100) == 0
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.drop_index(SHARD, "never")
    await sqlite.store.drop(make_shard := SHARD._replace(shard=9))
    assert make_shard not in sqlite.store.shards()
    assert sqlite.sqlite._file.writer.total_changes == before


async def test_writes_get_their_turn_while_an_index_is_built(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*(tagged(str(number), n=number) for number in range(300))))
    await sqlite.store.want_index(SHARD, "n")
    states: list[IndexState] = []

    async def build() -> None:
        while await sqlite.store.build_indexes(limit=10):
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(build)
        for revision in range(2, 8):
            await sqlite.store.write(placed(make_record("7", revision=revision, deleted=revision % 2)))
            states.append(sqlite.store.indexes(SHARD)["n"])
    assert states == [IndexState.BUILDING] * 6
    assert sqlite.store.indexes(SHARD) == {"n": IndexState.READY}
    assert len(await scan_all(sqlite.store, page=500)) == 300
    await check_indexes(sqlite.store)
