"""Leaves with their rid, the number by which a record is found without its key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

from gossipnode.core.model.version import Version
from gossipnode.store.sqlite.tables.damage import intact, kept_stamp, leaf_checked
from gossipnode.store.sqlite.tables.rows import LeafPlace


def version_page(
    connection: sqlite3.Connection, sid: int, after: tuple[int, bytes], limit: int
) -> list[tuple[LeafPlace, Version, int]]:
    """Place, version and rid of up to `limit` leaves after (slot, key), in the order of the tree."""
    # Two ranges of the primary key: to compare both columns at once SQLite would read the slot again.
    slot, key = after
    rows = connection.execute(_PAGE_SQL.format("slot = ? AND entity > ?"), (sid, slot, key, limit)).fetchall()
    if len(rows) < limit:
        rest = _PAGE_SQL.format("slot > ?"), (sid, slot, limit - len(rows))
        rows += connection.execute(*rest).fetchall()
    return [(LeafPlace(sid, at, key), Version(*version), rid) for at, key, *version, rid in rows]


def records_by_rid(
    connection: sqlite3.Connection, sid: int, rids: Sequence[int]
) -> dict[int, tuple[LeafPlace, Version, bytes, int | None]]:
    """What is held of those leaves of a shard that have one of these rids.

    Held are a place, a version, its payload, and the stamp that it was built upon.

    Raises:
        DamagedLeafError: one of the records is not what was written.
    """
    found: dict[int, tuple[LeafPlace, Version, bytes, int | None]] = {}
    rows = connection.execute(_by_rid_sql(len(rids)), (sid, *rids)).fetchall()
    for rid, slot, key, mod_revision, delete_time, digest, payload, built_upon in rows:
        version = Version(mod_revision, delete_time, digest)
        with leaf_checked(sid, slot, key):
            found[rid] = LeafPlace(sid, slot, key), version, intact(payload, version), kept_stamp(built_upon)
    return found


_PAGE_SQL = (
    "SELECT slot, entity, mod_revision, delete_time, digest, rid FROM leaf"
    " WHERE sid = ? AND {} ORDER BY slot, entity LIMIT ?"
)


@cache
def _by_rid_sql(count: int) -> str:
    asked = ",".join("?" * count)
    return (
        "SELECT leaf.rid, slot, entity, mod_revision, delete_time, digest, bytes, built_upon"
        " FROM leaf INDEXED BY leaf_number LEFT JOIN payload ON payload.rid = leaf.rid"
        f" WHERE leaf.sid = ? AND leaf.rid IN ({asked})"
    )
