"""The check of the indexes finds every kind of wrong row, and nothing in sound indexes."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.verify.check_store import verify_store
from tests.store.support import (
    SHARD,
    SqliteHandle,
    index_rows,
    leaf_digest,
    make_record,
    placed,
    tagged,
)


async def _indexed_store(handle: SqliteHandle) -> Path:
    await handle.store.want_index(SHARD, "n")
    await handle.store.write(placed(*(tagged(str(number), n=[number, -1]) for number in range(20))))
    await handle.store.write(placed(make_record("20", deleted=1), make_record("21", payload=b"unreadable")))
    await handle.store.want_index(SHARD, "late")
    await handle.store.build_indexes(limit=7)
    await handle.close()
    return handle.directory


async def test_sound_indexes(sqlite: SqliteHandle) -> None:
    directory = await _indexed_store(sqlite)
    summary = verify_store(directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong == ()
    assert summary.records == 21


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        ("DELETE FROM tag_row WHERE iid = 1 AND kind = 0 AND of_3", "sw/name/3: 1 rows missing .*'n'"),
        ("DELETE FROM tag_row WHERE iid = 2", "sw/name/.*: 1 rows missing .*'late'"),
        ("UPDATE tag_row SET key = key || x'00' WHERE iid = 1 AND kind = 1 AND of_3", "2 rows too many.*'n'"),
        ("INSERT INTO tag_row VALUES (1, 2, x'', x'00')", "sw/0: 1 rows too many in the index of tag 'n'"),
        ("INSERT INTO tag_row VALUES (9, 2, x'', x'00')", "1 rows of no index"),
        ("INSERT INTO tag_index VALUES (9, 77, x'41', NULL, NULL)", "1 indexes of no shard"),
        ("UPDATE leaf SET delete_time = 3 WHERE rid = 1", "3 rows too many in the index of tag 'n'"),
    ],
)
async def test_a_wrong_row_of_an_index_is_found(sqlite: SqliteHandle, spoil: str, finding: str) -> None:
    directory = await _indexed_store(sqlite)
    with closing(sqlite3.connect(directory / "store.db")) as connection:
        key = entity_key(make_record("3").entity).hex()
        connection.execute(spoil.replace("of_3", f"entity = x'{key}'"))
        connection.commit()
    summary = verify_store(directory, lambda _: leaf_digest, index_rows=index_rows)
    assert any(re.search(finding, line) for line in summary.wrong), summary.wrong


async def test_an_index_is_checked_as_far_as_it_is_built(sqlite: SqliteHandle) -> None:
    directory = await _indexed_store(sqlite)
    with closing(sqlite3.connect(directory / "store.db")) as connection:
        removed = connection.execute("DELETE FROM tag_row WHERE iid = 2").rowcount
        connection.commit()
    assert 5 <= removed <= 7
    summary = verify_store(directory, lambda _: leaf_digest, index_rows=index_rows)
    assert summary.wrong_count == removed
