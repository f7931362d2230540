"""Files of earlier schema versions are opened with all that they hold; files of later ones are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Record, ShardId
from gossipnode.store.interface import (
    ShardCounts,
    StoreError,
    StoreTooNewError,
)
from gossipnode.store.sqlite.disk.schema import APPLICATION_ID, MIGRATIONS
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.verify.check_store import verify_store
from tests.store.sqlite.files import fill_file
from tests.store.support import (
    OTHER_SHARD,
    REMADE_SHARD,
    SHARD,
    SqliteHandle,
    check_indexes,
    index_rows,
    leaf_digest,
    make_record,
    placed,
    rebuilt,
    scan_all,
    tagged,
)

RECORDS = [tagged(str(number), n=number) for number in range(40)]

OLD, OLD_OTHER = SHARD._replace(incarnation=0), OTHER_SHARD._replace(incarnation=0)
"""Shards as they were before groups had incarnations."""

TOMBSTONE = make_record("gone", deleted=5)


def _write_version_1(path: Path, shards: dict[ShardId, Sequence[Record]]) -> None:
    """A file as schema version 1 left it after a clean stop, with half of the digests computed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("UPDATE meta SET value = 77 WHERE key = 'last_stamp'")
        connection.execute("UPDATE meta SET value = 'leaf_digest' WHERE key = 'dialect'")
        connection.execute("BEGIN")
        rids = count(1)
        for sid, (shard, records) in enumerate(shards.items(), 3):
            connection.execute("INSERT INTO shard VALUES (?, ?, ?)", (sid, shard.group.encode(), shard.shard))
            for record, rid in zip(records, rids, strict=False):
                slot, version = slot_of(record.entity), record.version
                sha = leaf_digest(record.payload, version.delete_time) if rid % 2 else None
                row = (sid, slot, entity_key(record.entity), *version, sha, rid)
                connection.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
                connection.execute("INSERT INTO payload VALUES (?, ?)", (rid, record.payload))
            connection.execute(
                "INSERT INTO slot SELECT sid, slot, 1, sum(delete_time = 0), sum(delete_time <> 0),"
                " sum(sha IS NULL), NULL FROM leaf WHERE sid = ? GROUP BY slot",
                (sid,),
            )
        connection.execute("COMMIT")


@pytest.fixture
async def old(sqlite: SqliteHandle) -> SqliteHandle:
    """A closed store of version 1."""
    await sqlite.close()
    path = sqlite.directory / "store.db"
    path.unlink()
    _write_version_1(path, {OLD_OTHER: RECORDS[:7], OLD: [*RECORDS, TOMBSTONE]})
    return sqlite


async def test_all_is_kept_under_incarnation_0(old: SqliteHandle) -> None:
    await old.open()
    assert old.store.shards() == [OLD, OLD_OTHER]
    assert {shard.incarnation for shard in old.store.shards()} == {0}
    ordered = sorted([*RECORDS, TOMBSTONE], key=lambda record: record.entity)
    assert await scan_all(old.store, OLD) == ordered
    assert (await old.store.counts(OLD))[:2] == (40, 1)
    assert await old.store.tree(OLD) == rebuilt([*RECORDS, TOMBSTONE])
    assert await old.store.tree(OLD_OTHER) == rebuilt(RECORDS[:7])
    assert await old.store.last_stamp() == 77
    await old.restart()
    assert await scan_all(old.store, OLD) == ordered


async def test_it_then_does_all_that_a_new_one_does(old: SqliteHandle) -> None:
    await old.open()
    await old.store.want_index(OLD, "n")
    assert await old.store.build_indexes(limit=1000) == 41
    await old.store.write(placed(tagged("1", revision=2, n=99), shard=OLD))
    await old.store.write(placed(make_record("later"), shard=REMADE_SHARD))
    await old.store.keep_note("k", b"v")
    await old.store.drop(OLD_OTHER)
    await check_indexes(old.store)
    assert await old.store.counts(REMADE_SHARD) == ShardCounts(1, 0, 1)
    await old.close()
    summary = verify_store(old.directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong == ()
    assert summary.records == 41
    assert [shard for shard, _ in summary.roots] == [OLD, REMADE_SHARD]


async def test_the_check_asks_for_a_start_first(old: SqliteHandle) -> None:
    before = (old.directory / "store.db").read_bytes()
    with pytest.raises(StoreError, match=r"version 1, .*start a node"):
        verify_store(old.directory, lambda _: leaf_digest)
    assert (old.directory / "store.db").read_bytes() == before
    await old.open()
    await old.close()
    assert verify_store(old.directory, lambda _: leaf_digest).wrong == ()


async def test_a_file_that_cannot_be_brought_up_stays_as_it_is(old: SqliteHandle) -> None:
    path = old.directory / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE note (in_the_way)")
    with pytest.raises(StoreError, match="already exists"):
        await old.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM leaf").fetchone() == (48,)
        connection.execute("DROP TABLE note")
    await old.open()
    assert len(await scan_all(old.store, OLD)) == 41


async def test_a_newer_schema_is_refused_and_left_alone(sqlite: SqliteHandle) -> None:
    path = await fill_file(sqlite)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    before = path.read_bytes()
    for reseed in (False, True):
        with pytest.raises(StoreTooNewError, match="1000"):
            await sqlite.open(reseed=reseed)
    assert path.read_bytes() == before
