"""What only indexes on disk can get wrong: reading more than asked, rot, and writes that fail half-way."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import trio

from gossipnode.core.query.index_key import IndexKind, order_key
from gossipnode.store.interface import IndexState, StoreClosedError, StoreDamagedError, StoreFullError
from gossipnode.store.sqlite.tables import index_table
from gossipnode.store.sqlite.tables.index_table import ASCENDING_SQL, DESCENDING_SQL, LEAVES_SQL, REMOVE_SQL
from gossipnode.store.sqlite.tables.statements import rows_text
from tests.store.support import (
    SHARD,
    SqliteHandle,
    check_indexes,
    find_all,
    make_record,
    placed,
    scan_all,
    tagged,
)


@pytest.mark.parametrize(
    ("sql", "search"),
    [
        (ASCENDING_SQL, "tag_row USING PRIMARY KEY (iid=? AND kind=? AND (key,entity)>(?,?) AND key<?)"),
        (DESCENDING_SQL, "tag_row USING PRIMARY KEY (iid=? AND kind=? AND key>? AND (key,entity)<(?,?))"),
        (rows_text(REMOVE_SQL, 3), "tag_row USING PRIMARY KEY (iid=? AND kind=? AND key=? AND entity=?)"),
        (LEAVES_SQL, "leaf USING PRIMARY KEY (sid=? AND (slot,entity)>(?,?))"),
    ],
    ids=["ascending", "descending", "remove", "build"],
)
async def test_the_primary_key_serves_it(sqlite: SqliteHandle, sql: str, search: str) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(*(tagged(str(number), n=number) for number in range(50))))
    connection = sqlite.sqlite._file.reader
    parameters = [1] * sql.count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()]
    assert f"SEARCH {search}" in plan
    assert not any(line.startswith(("SCAN tag_row", "SCAN leaf", "USE TEMP B-TREE")) for line in plan)


async def test_a_page_reads_no_more_than_it_gives(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.store.want_index(SHARD, "n")
    records = [tagged(str(number), n=number % 2) for number in range(2000)]
    await sqlite.store.write(placed(*records))
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = sqlite.sqlite._file.reader
    connection.set_progress_handler(count, 10)
    try:
        key = order_key(1)
        for descending in (False, True):
            found = await find_all(sqlite.store, "n", IndexKind.WHOLE, key, key, page=1000)
            assert len(found) == 1000
            steps = 0
            after = found[500]
            await sqlite.store.find(
                SHARD, "n", IndexKind.WHOLE, b"", b"\xff", after=after, descending=descending, limit=10
            )
            # Some ten instructions a row; to go through a key's rows would take a thousand times ten.
            assert 0 < steps < 100
    finally:
        connection.set_progress_handler(None, 0)


def _rot(handle: SqliteHandle) -> None:
    with closing(sqlite3.connect(handle.directory / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE payload SET bytes = zeroblob(20) WHERE rid = 1")


async def test_rot_met_while_an_index_follows_a_write_ends_the_store(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.close()
    _rot(sqlite)
    await sqlite.open()
    # What its rows were nobody knows, so they would stay for ever.
    with pytest.raises(StoreClosedError, match="not what was written"):
        await sqlite.store.write(placed(tagged(revision=2, n=2)))
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)


async def test_rot_met_while_an_index_is_built_ends_the_store(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.close()
    _rot(sqlite)
    await sqlite.open()
    with pytest.raises(StoreClosedError, match="not what was written"):
        await sqlite.store.build_indexes(limit=10)
    assert isinstance(await sqlite.sqlite.wait_failed(), StoreDamagedError)


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


@pytest.mark.slow
async def test_large_payloads_are_read_a_few_at_a_time(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    read = index_table._payloads

    def watched(connection: sqlite3.Connection, rids: list[int]) -> dict[int, bytes]:
        nonlocal most
        found = read(connection, rids)
        most = max(most, sum(map(len, found.values())))
        return found

    monkeypatch.setattr(index_table, "_payloads", watched)
    size = 200_000
    await sqlite.store.want_index(SHARD, "n")
    for revision in (1, 2):
        batch = [tagged(str(each), revision=revision, n=each, text="x" * size) for each in range(40)]
        await sqlite.store.write(placed(*batch))
    assert size < most < 17 * size
    await sqlite.store.want_index(SHARD, "late")
    monkeypatch.setattr(index_table, "INDEX_BUILD_BYTES", 10 * size)
    taken = []
    while part := await sqlite.store.build_indexes(limit=1000):
        taken.append(part)
    assert sum(taken) == 40
    assert max(taken) == index_table.INDEX_READ_ROWS
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
    # 40 for the first, and 60 for the two others at once.
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
