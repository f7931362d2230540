"""A shard is removed in bounded steps, and a crash between two of them leaves nothing wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing

from gossipnode.store.interface import ShardCounts
from gossipnode.store.sqlite.jobs import StepJob
from gossipnode.store.sqlite.tables import drop
from gossipnode.store.sqlite.tables.drop import drop_step
from tests.store.support import (
    OTHER_SHARD,
    SHARD,
    SqliteHandle,
    assert_empty,
    assert_sound,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)

RECORDS = [tagged(str(number), n=number) for number in range(60)]


TOMBSTONES = [make_record(f"t{number}", deleted=number) for number in range(1, 20)]


@pytest.mark.usefixtures("small_steps")
async def test_writes_get_their_turn_between_the_steps(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS))
    left: list[int] = []

    async def write() -> None:
        for revision in range(1, 4):
            await sqlite.store.write(placed(make_record(revision=revision), shard=OTHER_SHARD))
            left.append((await sqlite.store.counts(SHARD)).records)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sqlite.store.drop, SHARD)
        nursery.start_soon(write)
    assert len(left) == 3
    assert left[-1] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("steps", range(1, 36, 3))
async def test_a_drop_cut_off_by_a_crash_is_gone_on_with(sqlite: SqliteHandle, steps: int) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(*RECORDS, *TOMBSTONES))
    await sqlite.store.tree(SHARD)
    for _ in range(steps):
        await sqlite.sqlite._writer.do(StepJob(partial(drop_step, shard=SHARD, limit=256)))
    await sqlite.crash()
    found = await scan_all(sqlite.store)
    # There are 13 steps for the rows of the index, 16 for the leaves, and a last one for the shard itself.
    assert len(found) == max(0, 79 - 5 * max(0, steps - 13))
    assert await sqlite.store.tree(SHARD) == rebuilt(found)
    tombstones = sum(record.deleted for record in found)
    assert await sqlite.store.counts(SHARD) == ShardCounts(len(found) - tombstones, tombstones, 0)
    # The shard is listed as long as anything of it is left.
    assert sqlite.store.shards() == ([SHARD] if steps < 30 else [])
    await assert_sound(sqlite)
    await sqlite.store.drop(SHARD)
    await assert_empty(sqlite.store, SHARD)
    await assert_sound(sqlite)


async def test_a_step_is_bounded_in_bytes(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "DROP_STEP_BYTES", 5000)
    await sqlite.store.write(placed(*(make_record(str(each), payload=bytes(2000)) for each in range(30))))
    await sqlite.store.write(placed(make_record("large", payload=bytes(100_000))))
    left = [31]
    while left[-1]:
        await sqlite.sqlite._writer.do(StepJob(partial(drop_step, shard=SHARD, limit=256)))
        left.append((await sqlite.store.counts(SHARD)).records)
    taken = [before - after for before, after in pairwise(left)]
    assert max(taken) == 3
    assert min(taken) >= 1


async def test_the_pages_of_a_dropped_shard_go_back_to_the_disk(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop, "RETURN_STEP_PAGES", 50)
    await sqlite.store.write(placed(make_record("stays"), shard=OTHER_SHARD))
    empty = sqlite.sqlite._file.reader.execute("PRAGMA page_count").fetchone()[0]
    await sqlite.store.write(placed(*(make_record(str(n), payload=bytes(2000)) for n in range(1000))))
    await sqlite.store.drop(SHARD)
    assert sqlite.sqlite._file.reader.execute("PRAGMA freelist_count").fetchone() == (0,)
    await sqlite.close()
    assert (sqlite.directory / "store.db").stat().st_size <= (empty + 5) * 4096
    await sqlite.open()
    assert await scan_all(sqlite.store, OTHER_SHARD) == [make_record("stays")]
    await assert_sound(sqlite)


async def test_a_file_of_an_older_gossipnode_keeps_its_pages(sqlite: SqliteHandle) -> None:
    await sqlite.close()
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as connection:
        # As it was made before: SQLite gives no page of such a file back.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
    await sqlite.open()
    await sqlite.store.write(placed(*(make_record(str(n), payload=bytes(2000)) for n in range(100))))
    await sqlite.store.drop(SHARD)
    assert sqlite.sqlite._file.reader.execute("PRAGMA freelist_count").fetchone() != (0,)
    await assert_sound(sqlite)
