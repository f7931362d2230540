"""Bits that flip beside the payloads: nothing is read for ever, and what cannot be mended ends the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import (
    IndexState,
    RecordDamagedError,
    StoreClosedError,
    StoreDamagedError,
)
from gossipnode.store.sqlite.tables.entity_key import entity_key
from tests.store.support import OTHER_SHARD, SHARD, SqliteHandle, find_all, hits, placed, scan_all, tagged

RECORDS = [tagged(f"{number:03}", n=number) for number in range(200)]


async def fill(sqlite: SqliteHandle) -> Path:
    """A store with an index of the tag n; returns its file, closed."""
    await sqlite.store.want_index(SHARD, "n")
    await sqlite.store.write(placed(*RECORDS))
    await sqlite.store.tree(SHARD)
    await sqlite.close()
    return sqlite.directory / "store.db"


def rot(path: Path, before: bytes, after: bytes) -> None:
    """Replace bytes of the file, wherever they are."""
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount


def row_of(number: int) -> bytes:
    """Key and entity of an index row, as they stand in the file."""
    ((key, entity),) = hits([RECORDS[number]], "n", IndexKind.WHOLE)
    return key + entity_key(entity)


async def all_leaves(sqlite: SqliteHandle, shard: ShardId = SHARD) -> None:
    for slot in range(32):
        await sqlite.store.leaves(shard, slot, limit=1000)


async def open_and_scan(sqlite: SqliteHandle) -> None:
    await sqlite.open()
    await scan_all(sqlite.store)


@pytest.mark.parametrize("descending", [False, True])
async def test_an_index_out_of_order_is_given_up(sqlite: SqliteHandle, descending: bool) -> None:
    path = await fill(sqlite)
    rot(path, row_of(150), row_of(10))
    rot(path, row_of(50), row_of(190))
    await sqlite.open()
    with pytest.raises(LookupError, match="does not exist"):
        await find_all(sqlite.store, "n", descending=descending)
    assert sqlite.store.indexes(SHARD) == {}
    assert sqlite.failure is None
    await sqlite.store.want_index(SHARD, "n")
    while await sqlite.store.build_indexes(limit=64):
        pass
    assert await find_all(sqlite.store, "n") == hits(RECORDS, "n", IndexKind.WHOLE)


async def test_an_index_row_that_cannot_be_removed_ends_its_index(sqlite: SqliteHandle) -> None:
    path = await fill(sqlite)
    rotten = row_of(150)[:-1] + b"\xff"
    rot(path, row_of(150), rotten)
    rot(path, row_of(151), row_of(5))
    await sqlite.open()
    with pytest.raises(LookupError, match="does not exist"):
        await find_all(sqlite.store, "n", page=200)
    assert sqlite.failure is None
    assert len(await scan_all(sqlite.store)) == len(RECORDS)


@pytest.mark.parametrize("way", ["scan", "leaves"])
async def test_records_out_of_order_end_the_store(sqlite: SqliteHandle, way: str) -> None:
    path = await fill(sqlite)
    # The leaf of a record in the middle of its slot gets a key from before the first.
    rot(path, entity_key(RECORDS[100].entity), entity_key(RECORDS[100].entity).replace(b"100", b"   "))
    await sqlite.open()
    with pytest.raises((StoreDamagedError, StoreClosedError), match="out of order"):
        await (scan_all(sqlite.store, page=500) if way == "scan" else all_leaves(sqlite))
    assert "--reseed" in str(sqlite.failure)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE meta SET key = 'clea~' WHERE key = 'clean'", "meta has None for clean"),
        ("UPDATE meta SET key = 'x' WHERE key = 'dialect'", "None for dialect"),
        ("UPDATE meta SET value = x'00' WHERE key = 'last_stamp'", "for last_stamp"),
        ("UPDATE meta SET value = 1 << 63 WHERE key = 'last_stamp'", "for last_stamp"),
    ],
)
async def test_a_file_that_does_not_say_what_it_is_is_refused(
    sqlite: SqliteHandle, sql: str, says: str
) -> None:
    path = await fill(sqlite)
    change(path, sql)
    with pytest.raises(StoreDamagedError, match=f"{says}.*--reseed"):
        await sqlite.open()
    await sqlite.open(reseed=True)
    assert sqlite.sqlite.moved_aside is not None


@pytest.mark.parametrize("name", [b"delete_ti\xede", b"delete_tiMe_"])
async def test_a_schema_that_rotted_is_damage(sqlite: SqliteHandle, name: bytes) -> None:
    path = await fill(sqlite)
    rot(path, b"delete_time INT NOT NULL"[: len(name)], name)
    with pytest.raises(StoreDamagedError, match="--reseed"):
        await open_and_scan(sqlite)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE tag_index SET tag = x'ee'",
        "UPDATE shard SET grp = x'f377' WHERE sid = (SELECT max(sid) FROM shard)",
        "UPDATE leaf SET sha = CAST(x'ff00' AS TEXT) WHERE rid = 7",
        "UPDATE slot SET sha = 0 WHERE slot = 1",
        "UPDATE leaf SET sha = 1 WHERE rid = 7",
    ],
)
async def test_a_name_or_a_digest_that_rotted_ends_nothing(sqlite: SqliteHandle, sql: str) -> None:
    await sqlite.store.write(placed(tagged("other"), shard=OTHER_SHARD))
    path = await fill(sqlite)
    change(path, sql)
    await sqlite.open()
    for shard in sqlite.store.shards():
        await sqlite.store.tree(shard)
        await scan_all(sqlite.store, shard)
        for state in sqlite.store.indexes(shard).values():
            assert state is IndexState.READY
        await all_leaves(sqlite, shard)
    await sqlite.store.write(placed(tagged("new", n=1)))
    for shard in sqlite.store.shards():
        await sqlite.store.drop(shard)
    assert sqlite.store.shards() == []
    assert sqlite.failure is None


@pytest.mark.parametrize("value", ["'text'", "0", "x''"])
async def test_a_payload_of_another_kind_is_set_aside(sqlite: SqliteHandle, value: str) -> None:
    path = await fill(sqlite)
    change(path, f"UPDATE payload SET bytes = {value} WHERE rid = 7")
    await sqlite.open()
    assert len(await scan_all(sqlite.store)) == len(RECORDS) - 1
    (name,) = (await sqlite.store.damaged_records(limit=20)).names
    assert await sqlite.store.damaged_shards() == {SHARD: name}
    with pytest.raises(RecordDamagedError, match=name):
        await sqlite.store.read(SHARD, [record.entity for record in RECORDS])
    # A replica brings it back, or the user writes it again.
    await sqlite.store.write(placed(*RECORDS))
    assert await sqlite.store.damaged_records(limit=20) == (0, ())
    assert await sqlite.store.damaged_shards() == {}
    assert await scan_all(sqlite.store) == RECORDS


async def test_many_damaged_records_are_counted_and_a_few_named(sqlite: SqliteHandle) -> None:
    path = await fill(sqlite)
    change(path, "UPDATE payload SET bytes = x'00' WHERE rid <= 50")
    await sqlite.open()
    assert len(await scan_all(sqlite.store)) == len(RECORDS) - 50
    number, names = await sqlite.store.damaged_records(limit=20)
    assert (number, len(set(names))) == (50, 20)


async def test_a_bit_that_flips_under_a_running_store_is_mended(sqlite: SqliteHandle) -> None:
    """The writer still has the page in its cache, and reads nothing of what has rotted on the disk."""
    await sqlite.store.write(placed(*RECORDS))
    await sqlite.sqlite._writer.empty_log()
    payload = RECORDS[77].payload
    rot(sqlite.directory / "store.db", payload, payload[:-1] + b"~")
    assert await scan_all(sqlite.store) == RECORDS
    assert await sqlite.store.read(SHARD, [RECORDS[77].entity]) == [RECORDS[77]]
    assert sqlite.failure is None
    assert await sqlite.store.damaged_records(limit=1) == (0, ())
    await sqlite.restart()
    assert await scan_all(sqlite.store) == RECORDS


async def test_pages_of_lineages_go_on_over_a_key_that_rotted(sqlite: SqliteHandle) -> None:
    """A replica that is new to the shard reads them: one rotten record must not keep it from being filled."""
    await sqlite.store.write(placed(*RECORDS), lineages=[b"kept"] * len(RECORDS))
    await sqlite.close()
    # SQLite makes text of it.
    change(sqlite.directory / "store.db", "UPDATE leaf SET entity = entity || x'01' WHERE rid = 7")
    await sqlite.open()
    page = await sqlite.store.lineages.page(SHARD, after=None, since=0)
    assert len(page.found) == len(RECORDS) - 1
    assert page.after is None
    assert (await sqlite.store.damaged_records(limit=5)).records == 1
    assert sqlite.failure is None


async def test_lineages_out_of_order_end_the_store_as_records_do(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(*RECORDS), lineages=[b"kept"] * len(RECORDS))
    await sqlite.close()
    path = sqlite.directory / "store.db"
    rot(path, entity_key(RECORDS[100].entity), entity_key(RECORDS[100].entity).replace(b"100", b"   "))
    await sqlite.open()
    with pytest.raises((StoreDamagedError, StoreClosedError), match="out of order"):
        await sqlite.store.lineages.page(SHARD, after=None, since=0)
