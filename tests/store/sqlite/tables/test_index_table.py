"""The statements of the indexes read no more than they must, and leave no rows of a dropped index."""

from __future__ import annotations

import sqlite3
from functools import partial

import pytest

from gossipnode.core.query.index_key import IndexKind, order_key
from gossipnode.store.interface import (
    IndexState,
)
from gossipnode.store.sqlite.jobs import StepJob
from gossipnode.store.sqlite.tables import index_table
from gossipnode.store.sqlite.tables.index_table import (
    ASCENDING_SQL,
    DESCENDING_SQL,
    LEAVES_SQL,
    REMOVE_SQL,
    give_up_index,
)
from gossipnode.store.sqlite.tables.statements import rows_text
from tests.store.support import (
    SHARD,
    SqliteHandle,
    assert_sound,
    check_indexes,
    find_all,
    placed,
    tagged,
)

RECORDS = [tagged(str(number), n=number) for number in range(60)]


@pytest.mark.usefixtures("small_steps")
async def test_what_a_crash_left_of_an_index_is_removed(sqlite: SqliteHandle) -> None:
    for tag in ("n", "m"):
        await sqlite.store.want_index(SHARD, tag)
    await sqlite.store.write(placed(*RECORDS))
    step = partial(give_up_index, shard=SHARD, tag="n", limit=5)
    await sqlite.sqlite._writer.do(StepJob(step))
    await sqlite.crash()
    # Rows of the index are left, but readers cannot see that.
    assert sqlite.store.indexes(SHARD) == {"m": IndexState.READY}
    await sqlite.store.want_index(SHARD, "n")
    while await sqlite.store.build_indexes(limit=20):
        pass
    await check_indexes(sqlite.store)
    (rows,) = sqlite.sqlite._file.reader.execute("SELECT count(*) FROM tag_row").fetchone()
    assert rows == 2 * len(RECORDS)
    await assert_sound(sqlite)


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
            # A row takes about ten instructions, counted in tens. To go through the key's 1000 rows would
            # take 1000.
            assert 0 < steps < 100
    finally:
        connection.set_progress_handler(None, 0)


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
