"""What is kept beside the payloads of records: bytes of which a store knows nothing, see `Store.write`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.request_lineage import LineagePage
from gossipnode.store.interface import LINEAGE_PAGE_BYTES
from gossipnode.store.sqlite.tables.damage import leaf_checked, next_key
from gossipnode.store.sqlite.tables.entity_key import entity_key, key_entity
from gossipnode.store.sqlite.tables.rows import LeafPlace, find_shard, held_leaves, shard_row
from gossipnode.store.sqlite.tables.statements import RowsSql, execute_rows

PAGE_LEAVES = 512
"""Leaves that are looked at before other tasks get their turn. It takes about two milliseconds."""


def lineage_of(connection: sqlite3.Connection, shard: ShardId, entity: Entity) -> bytes:
    """What is kept beside a record; empty if that is nothing."""
    row = connection.execute(
        "SELECT lineage FROM shard JOIN leaf USING (sid) JOIN payload USING (rid)"
        " WHERE grp = ? AND number = ? AND incarnation = ? AND slot = ? AND entity = ?",
        (*shard_row(shard), slot_of(entity), entity_key(entity)),
    ).fetchone()
    return row[0] if row and isinstance(row[0], bytes) else b""


def lineage_page(
    connection: sqlite3.Connection, shard: ShardId, after: Entity | None, since: int
) -> LineagePage:
    """See `Lineages.page`. It looks at `PAGE_LEAVES` leaves at most, and may find nothing in them.

    Raises:
        DamagedLeafError: the key of one of the leaves is not what was written.
    """
    sid = find_shard(connection, shard)
    if sid is None:
        return LineagePage([], None)
    place = (slot_of(after), entity_key(after)) if after else (-1, b"")
    rows = connection.execute(
        "SELECT slot, entity, CASE WHEN max(mod_revision, delete_time) >= ? THEN"
        " (SELECT lineage FROM payload WHERE payload.rid = leaf.rid) END"
        " FROM leaf WHERE sid = ? AND (slot, entity) > (?, ?) ORDER BY slot, entity LIMIT ?",
        (since, sid, *place, PAGE_LEAVES),
    ).fetchall()
    found: list[tuple[Entity, bytes]] = []
    size = 0
    for slot, key, lineage in rows:
        with leaf_checked(sid, slot, key):
            next_key(place[1] if slot == place[0] else b"", key)
            entity = key_entity(key)
        place = slot, key
        if isinstance(lineage, bytes):
            found.append((entity, lineage))
            size += len(lineage)
            if size >= LINEAGE_PAGE_BYTES:
                return LineagePage(found, entity)
    return LineagePage(found, key_entity(place[1]) if len(rows) == PAGE_LEAVES else None)


def change_lineages(
    connection: sqlite3.Connection, *, shard: ShardId, changes: Sequence[tuple[Entity, bytes, bytes]]
) -> int:
    """See `Lineages.keep`; returns of how many records that are held it was asked."""
    sid = find_shard(connection, shard)
    if sid is None:
        return 0
    places = {
        LeafPlace(sid, slot_of(entity), entity_key(entity)): (before or None, after)
        for entity, before, after in changes
    }
    held = held_leaves(connection, list(places))
    execute_rows(connection, _CHANGE_SQL, [(leaf.rid, *places[place]) for place, leaf in held.items()])
    return len(held)


def put_lineages(connection: sqlite3.Connection, rows: Sequence[tuple[int, bytes]]) -> None:
    """Keep lineages beside the payloads of these numbers."""
    execute_rows(connection, _LINEAGE_SQL, rows)


_CHANGE_SQL = RowsSql(
    "WITH told(rid, before, after) AS (VALUES ",
    "(?,?,?)",
    ") UPDATE payload SET lineage = told.after FROM told"
    " WHERE payload.rid = told.rid AND payload.lineage IS told.before",
)
_LINEAGE_SQL = RowsSql(
    "WITH told(rid, lineage) AS (VALUES ",
    "(?,?)",
    ") UPDATE payload SET lineage = told.lineage FROM told WHERE payload.rid = told.rid",
)
