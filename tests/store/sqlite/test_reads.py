"""Rot is recognised on every way by which a row leaves the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.store.interface import RecordDamagedError, Store
from gossipnode.store.sqlite.tables import shard_summary
from gossipnode.store.sqlite.tables.shard_summary import SUMMARY_PAGE_SHARDS
from gossipnode.store.verify.check_store import verify_store
from tests.store.sqlite.files import FILE_RECORDS, fill_file, rot_payload
from tests.store.support import (
    SHARD,
    SqliteHandle,
    assert_sound,
    check_indexes,
    find_all,
    index_rows,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)


async def findings(sqlite: SqliteHandle) -> list[str]:
    """What the offline check says."""
    await sqlite.close()
    summary = verify_store(sqlite.directory, lambda _: leaf_digest, index_rows=index_rows)
    await sqlite.open()
    return list(summary.wrong)


async def _check_one_aside(sqlite: SqliteHandle, keys: Sequence[Entity]) -> None:
    """One record is set aside and named; all else is right, until the record comes from a replica again."""
    store = sqlite.store
    left = await scan_all(store)
    (lost,) = set(keys) - {record.entity for record in left}
    assert len(left) == len(keys) - 1
    assert sqlite.failure is None
    assert await store.tree(SHARD) == rebuilt(left)
    assert (await store.counts(SHARD)).records == len(left)
    with pytest.raises(RecordDamagedError, match=f"{lost.text} is damaged"):
        await store.read(SHARD, keys)
    assert (await store.read(SHARD, keys, skip_damaged=True)).count(None) == 1
    assert await store.read(SHARD, [record.entity for record in left]) == left
    assert await findings(sqlite) == [
        f"{lost.text}: set aside: a payload of mod_revision 1 is not what was written"
    ]
    store = sqlite.store
    older = make_record(lost.id, revision=0, payload=b"p" * 2000)
    assert (await store.write(placed(older)))[0].outcome is WriteOutcome.OLDER
    assert (await store.write(placed(*FILE_RECORDS)))[0].outcome is WriteOutcome.EQUAL
    assert sorted(await scan_all(store), key=lambda record: record.entity.id) == sorted(
        FILE_RECORDS, key=lambda record: record.entity.id
    )
    assert await store.tree(SHARD) == rebuilt(FILE_RECORDS)
    await assert_sound(sqlite)


async def _meet(store: Store, way: str, keys: Sequence[Entity]) -> None:
    match way:
        case "tree":
            await store.tree(SHARD)
        case "fill_digests":
            await store.fill_digests(limit=1000)
        case "leaves":
            for slot in range(32):
                await store.leaves(SHARD, slot, limit=1000)
        case "scan":
            await scan_all(store)
        case "find":
            await find_all(store, "n")
        case _:
            await store.read(SHARD, keys)


@pytest.mark.parametrize("way", ["tree", "fill_digests", "leaves", "scan", "read"])
async def test_a_rotten_payload_never_leaves_the_store(sqlite: SqliteHandle, way: str) -> None:
    path = await fill_file(sqlite)
    await sqlite.open()
    keys = [record.entity for record in await scan_all(sqlite.store)]
    await sqlite.close()
    rot_payload(path)
    await sqlite.open()
    if way == "read":
        with pytest.raises(RecordDamagedError, match=r"sw/name/\d+ is damaged"):
            await _meet(sqlite.store, way, keys)
    else:
        await _meet(sqlite.store, way, keys)
    await _check_one_aside(sqlite, keys)


@pytest.mark.parametrize("way", ["leaves", "scan", "find"])
async def test_a_rotten_key_is_set_aside(sqlite: SqliteHandle, way: str) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(tagged(n=1)))
    await sqlite.close()
    with closing(sqlite3.connect(sqlite.directory / "store.db", isolation_level=None)) as connection:
        connection.execute("UPDATE tag_row SET entity = x'6100'")
        connection.execute("UPDATE leaf SET entity = x'6100'")
    await sqlite.open()
    await _meet(sqlite.store, way, [])
    assert await scan_all(sqlite.store) == []
    assert await find_all(sqlite.store, "n") == []
    assert sqlite.failure is None
    assert (await sqlite.store.counts(SHARD)).records == 0
    await sqlite.store.write(placed(tagged(n=1)))
    assert await scan_all(sqlite.store) == [tagged(n=1)]
    await check_indexes(sqlite.store)
    assert await findings(sqlite) == ["b'a\\x00': set aside: b'a\\x00' is no key"]


@pytest.mark.parametrize("way", ["tree", "fill_digests", "leaves", "scan", "read"])
async def test_a_leaf_without_its_payload_is_set_aside(sqlite: SqliteHandle, way: str) -> None:
    path = await fill_file(sqlite)
    rot_payload(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM payload WHERE rid = 7")
    await sqlite.open()
    keys = [record.entity for record in FILE_RECORDS]
    if way == "read":
        with pytest.raises(RecordDamagedError, match=r"sw/name/\d+ is damaged"):
            await _meet(sqlite.store, way, keys)
    else:
        await _meet(sqlite.store, way, keys)
    (finding,) = await findings(sqlite)
    assert finding.endswith("set aside: the payload of mod_revision 1 is missing")
    await sqlite.store.write(placed(*FILE_RECORDS))
    await assert_sound(sqlite)


async def test_a_rotten_record_with_index_rows_is_replaced(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(tagged("1", n=1), tagged("2", n=2)))
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00' WHERE rid = 1")
    await sqlite.store.write(placed(tagged("1", revision=2, n=3), tagged("2", revision=2, n=4)))
    assert sqlite.failure is None
    await check_indexes(sqlite.store)
    await assert_sound(sqlite)


async def test_rot_leaves_other_indexes_to_be_built(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(tagged("1", n=1)))
    await sqlite.store.write(placed(tagged("2", n=2)))
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00' WHERE rid = 1")
    await sqlite.store.want_index(SHARD, "n")
    while await sqlite.store.build_indexes(limit=1):
        pass
    assert await scan_all(sqlite.store) == [tagged("2", n=2)]
    await check_indexes(sqlite.store)


async def test_a_shared_payload_stays_with_its_record(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record("1", payload=b"1"), make_record("2", payload=b"2")))
    # The number of a payload has rotted: it is now that of the other record.
    sqlite.sqlite._file.writer.execute("UPDATE leaf SET rid = 1")
    assert len(await scan_all(sqlite.store)) == 1
    assert sqlite.failure is None


async def test_reseeding_sets_rotten_records_aside(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    rot_payload(path)
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is None
    await _check_one_aside(sqlite, [record.entity for record in FILE_RECORDS])


async def test_what_was_set_aside_goes_with_its_shard(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record("1"), make_record("2")))
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00' WHERE rid = 1")
    assert len(await scan_all(sqlite.store)) == 1
    await sqlite.store.drop(SHARD)
    assert await sqlite.store.read(SHARD, [make_record("1").entity]) == [None]
    await assert_sound(sqlite)


async def test_a_record_that_is_not_held_is_looked_for_by_one_statement(sqlite: SqliteHandle) -> None:
    """Between two, a record that was set aside could be written again, and would seem to have never been."""
    await sqlite.store.write(placed(make_record("1")))
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00'")
    assert await scan_all(sqlite.store) == []
    statements: list[str] = []
    sqlite.sqlite._file.reader.set_trace_callback(statements.append)
    with pytest.raises(RecordDamagedError, match="name/1 is damaged"):
        await sqlite.store.read(SHARD, [make_record(each).entity for each in ("3", "1", "2")])
    assert await sqlite.store.read(SHARD, [make_record("3").entity]) == [None]
    assert len(statements) == 2


async def test_a_record_that_is_set_aside_leaves_its_indexes(sqlite: SqliteHandle) -> None:
    await sqlite.store.want_index(SHARD, "n")
    while await sqlite.store.build_indexes(limit=64):
        pass
    await sqlite.store.write(placed(tagged("1", n=1)))
    sqlite.sqlite._file.writer.execute("UPDATE payload SET bytes = x'00'")
    assert await scan_all(sqlite.store) == []
    assert await find_all(sqlite.store, "n") == []


async def test_doubt_of_a_record_without_a_digest_counts_it_once(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(make_record()))
    for _ in range(2):
        (result,) = await sqlite.store.write(placed(make_record()), doubt_equal=True)
        assert result.outcome is WriteOutcome.EQUAL
        assert (await sqlite.store.counts(SHARD)).unhashed == 1


async def test_other_tasks_run_while_all_shards_are_summed_up(sqlite: SqliteHandle) -> None:
    count = 8 * SUMMARY_PAGE_SHARDS
    await sqlite.store.write([(ShardId("sw", number), make_record(str(number))) for number in range(count)])
    turns = 0
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(other)
        assert len(await sqlite.store.summaries()) == count
        nursery.cancel_scope.cancel()
    assert turns >= 7


async def test_a_large_slot_is_not_hashed_in_passing(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.store.write([(SHARD, make_record(str(number))) for number in range(100)])
    while await sqlite.store.fill_digests(limit=1000):
        pass
    monkeypatch.setattr(shard_summary, "SUMMARY_PAGE_LEAVES", 99)
    assert (await sqlite.store.summaries())[SHARD].root is None
    root = (await sqlite.store.tree(SHARD)).root
    assert (await sqlite.store.summaries())[SHARD].root == root


async def test_what_is_hashed_in_passing_is_kept_and_a_later_write_makes_it_stale(
    sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = [ShardId("sw", number) for number in range(40)]
    await sqlite.store.write([(shard, make_record(str(shard.shard))) for shard in shards])
    while await sqlite.store.fill_digests(limit=1000):
        pass
    first = await sqlite.store.summaries()
    # Now nothing is left to hash.
    monkeypatch.setattr(shard_summary, "SUMMARY_PAGE_LEAVES", 0)
    assert await sqlite.store.summaries() == first
    await sqlite.store.write([(shards[7], make_record("more"))])
    after = await sqlite.store.summaries()
    assert [shard for shard in shards if after[shard].root is None] == [shards[7]]
