"""Each read goes to its rows by a key: none of them looks through a table."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.store.sqlite.tables import rows
from gossipnode.store.sqlite.tables.entity_key import entity_key
from gossipnode.store.sqlite.tables.rows import (
    LeafPlace,
    find_shard,
    held_leaves,
    leaf_at,
    leaf_page,
    next_unhashed_shard,
    read_payloads,
    scan_page,
    slot_rows,
    unhashed_page,
)
from tests.store.support import SHARD, SqliteHandle, make_record, placed

RECORD = make_record("7")
PLACE = LeafPlace(1, 0, entity_key(RECORD.entity))
AFTER = Entity("sw", "name", "3")
TABLE_SCANS = ("SCAN leaf", "SCAN payload", "SCAN slot", "SCAN shard")


@pytest.mark.parametrize(
    "read",
    [
        lambda connection: find_shard(connection, SHARD),
        lambda connection: held_leaves(connection, [PLACE] * 3),
        lambda connection: read_payloads(connection, SHARD, [PLACE[1:]] * 3),
        lambda connection: leaf_at(connection, PLACE),
        lambda connection: leaf_page(connection, 1, 0, AFTER, 10),
        lambda connection: scan_page(connection, 1, AFTER, 10, None),
        lambda connection: scan_page(connection, 1, AFTER, 10, "name"),
        lambda connection: slot_rows(connection, 1),
        lambda connection: unhashed_page(connection, 1, 3, 30, 10),
        lambda connection: next_unhashed_shard(connection, 0),
    ],
    ids=[
        "shard",
        "held",
        "payloads",
        "leaf",
        "leaves",
        "scan",
        "scan of a name",
        "slots",
        "unhashed",
        "next shard",
    ],
)
async def test_a_read_seeks_what_it_reads(sqlite: SqliteHandle, read) -> None:
    await sqlite.store.write(placed(*(make_record(str(number)) for number in range(50))))
    connection = sqlite.sqlite._file.reader
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    read(connection)
    connection.set_trace_callback(None)
    assert statements
    for statement in set(statements):
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()]
        assert not any(line.startswith(TABLE_SCANS) for line in plan)


async def test_what_is_held_is_found_by_place(sqlite: SqliteHandle) -> None:
    await sqlite.store.write(placed(RECORD))
    connection = sqlite.sqlite._file.reader
    (slot,) = connection.execute("SELECT slot FROM leaf").fetchone()
    place = PLACE._replace(slot=slot)
    (held,) = held_leaves(connection, [place, place._replace(key=b"other"), place._replace(sid=2)]).items()
    assert held == (place, rows.HeldLeaf(RECORD.version, 1, hashed=False))
    assert leaf_at(connection, place) == (RECORD.version, None, RECORD.payload)
    assert leaf_at(connection, place._replace(sid=2)) is None


@pytest.mark.parametrize("shards", [10, 400])
async def test_the_next_shard_without_digests_is_found_whatever_the_number_of_shards(
    sqlite: SqliteHandle, shards: int
) -> None:
    written = [(ShardId("sw", number), RECORD) for number in range(shards)]
    await sqlite.store.write(written)
    while await sqlite.store.fill_digests(limit=1000):
        pass
    dirty = [written[number][0] for number in (3, 7)]
    await sqlite.store.write([(shard, make_record("8")) for shard in dirty])
    connection = sqlite.sqlite._file.reader
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    first = next_unhashed_shard(connection, 0)
    assert first == find_shard(connection, dirty[0])
    connection.set_progress_handler(step, 1)
    second = next_unhashed_shard(connection, first or 0)
    third = next_unhashed_shard(connection, second or 0)
    connection.set_progress_handler(None, 0)
    assert (second, third) == (find_shard(connection, dirty[1]), None)
    assert steps < 50
