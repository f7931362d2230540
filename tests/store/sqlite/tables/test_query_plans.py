"""No statement reads a whole table of records, whatever number of rows it is about.

SQLite plans a statement by its text, so every statement is explained with every number of rows that it is
used with. Newer versions of SQLite read the whole table if a statement is about too many rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.sqlite.tables.statements import LENGTHS
from tests.store.support import SHARD, SqliteHandle, find_all, placed, scan_all, tagged

BIG_TABLES = {"leaf", "payload", "tag_row"}


class Recording(sqlite3.Connection):
    """Remembers the texts of statements with the values that they were last given."""

    texts: ClassVar[dict[str, Sequence[Any]]] = {}

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if not sql.startswith(("PRAGMA", "BEGIN", "COMMIT", "ROLLBACK", "CREATE", "DROP", "ALTER")):
            self.texts[sql] = parameters
        return super().execute(sql, parameters)


@pytest.fixture
async def recorded(sqlite: SqliteHandle, monkeypatch: pytest.MonkeyPatch) -> SqliteHandle:
    await sqlite.close()
    Recording.texts = {}
    connect = sqlite3.connect

    def recording(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=Recording, **options)

    monkeypatch.setattr(sqlite3, "connect", recording)
    await sqlite.open()
    return sqlite


async def use_all(handle: SqliteHandle, count: int) -> None:
    """Do with `count` records all that a node does."""
    store = handle.store
    store.changes.tell_replaced([SHARD])
    records = [tagged(f"{count}-{each}", n=each) for each in range(count)]
    await store.write(placed(*records), stamp=count)
    await store.tree(SHARD)
    await store.write(placed(*(tagged(each.entity.id, revision=2, n=0) for each in records)))
    await store.read(SHARD, [each.entity for each in records])
    await store.leaves(SHARD, 0, limit=count)
    await store.fill_digests(limit=count)
    await scan_all(store, name="name")
    await find_all(store, "n", IndexKind.WHOLE)
    await find_all(store, "n", IndexKind.WHOLE, descending=True)
    await store.changes.since(SHARD, 0, limit=count)
    await store.changes.of(SHARD, records[0].entity)


async def test_no_statement_scans_the_records(recorded: SqliteHandle) -> None:
    store = recorded.store
    await store.want_index(SHARD, "n")
    for length in LENGTHS:
        await use_all(recorded, length)
    await store.want_index(SHARD, "later")
    while await store.build_indexes(limit=64):
        pass
    await store.keep_note("key", b"value")
    await store.drop_index(SHARD, "later")
    await store.drop(SHARD)
    lengths = {
        sql.count("(?,?,?,?,?,?,?,?)") for sql in Recording.texts if sql.startswith("INSERT INTO leaf")
    }
    assert lengths == set(LENGTHS), "a length that is in use was not explained"
    connection = recorded.sqlite._file.reader
    scans = {
        f"{sql[:60]}: {detail}"
        for sql, parameters in list(Recording.texts.items())
        for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
        if detail.startswith("SCAN") and detail.split()[1] in BIG_TABLES
    }
    assert scans == set()
