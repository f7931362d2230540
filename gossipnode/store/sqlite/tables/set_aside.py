"""Records that rotted on the disk in a way that SQLite does not notice. They are taken out of the tables.

Such a record is moved from `leaf` and `payload` to `set_aside`, and it goes out of counters and indexes. The
store is then sound without it, and a tree session sees that the record is missing and brings it back from a
replica. Its version stays known: an older one is not stored in its place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import Version
from gossipnode.store.sqlite.tables.damage import DamageError, intact
from gossipnode.store.sqlite.tables.entity_key import DamagedKeyError, key_entity
from gossipnode.store.sqlite.tables.index_table import indexes_of, remove_entity
from gossipnode.store.sqlite.tables.rows import LeafPlace, group_text


class SetAside(NamedTuple):
    """A record that was set aside, and why."""

    name: str
    """Its key as text. If the key itself is damaged, its bytes."""
    reason: str


def set_aside(connection: sqlite3.Connection, place: LeafPlace) -> int:
    """Set a damaged record aside; returns 0 if it is not there or not damaged, else 1.

    A record that is sound here, and damaged for a reader, has rotted on the disk and is still whole in the
    cache of this connection: then it is written again from there.
    """
    assert connection.in_transaction, "a record leaves the tables together with its counters and index rows"
    row = connection.execute(_FIND_SQL, place).fetchone()
    if row is None:
        return 0
    mod_revision, delete_time, digest, unhashed, rid, payload = row
    reason = _damage(place.key, Version(mod_revision, delete_time, digest), payload)
    if not reason:
        _write_again(connection, place, rid)
        return 0
    connection.execute(
        "INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*place, mod_revision, delete_time, digest, payload, reason),
    )
    connection.execute("DELETE FROM leaf WHERE sid = ? AND slot = ? AND entity = ?", place)
    # A damaged rid may be that of another record, whose payload must stay.
    connection.execute(
        "DELETE FROM payload WHERE rid = ?1 AND NOT EXISTS (SELECT 1 FROM leaf WHERE rid = ?1)", (rid,)
    )
    connection.execute(
        "UPDATE slot SET generation = generation + 1, sha = NULL, records = records - ?,"
        " tombstones = tombstones - ?, unhashed = unhashed - ? WHERE sid = ? AND slot = ?",
        (delete_time == 0, delete_time != 0, unhashed, place.sid, place.slot),
    )
    remove_entity(connection, indexes_of(connection, place.sid).values(), place.key)
    return 1


def _write_again(connection: sqlite3.Connection, place: LeafPlace, rid: int) -> None:
    """Write the pages of a record. SQLite would leave them if the rows were updated to what they are."""
    where = "FROM leaf WHERE sid = ? AND slot = ? AND entity = ?"
    leaf = connection.execute(f"SELECT * {where}", place).fetchone()
    payload = connection.execute("SELECT * FROM payload WHERE rid = ?", (rid,)).fetchone()
    connection.execute(f"DELETE {where}", place)
    connection.execute("DELETE FROM payload WHERE rid = ?", (rid,))
    for table, row in (("payload", payload), ("leaf", leaf)):
        connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)


def aside_versions(connection: sqlite3.Connection, places: Iterable[LeafPlace]) -> dict[LeafPlace, Version]:
    """The versions of those of these records that are set aside. Nearly always there are none."""
    if connection.execute("SELECT 1 FROM set_aside LIMIT 1").fetchone() is None:
        return {}
    found: dict[LeafPlace, Version] = {}
    for place in places:
        row = connection.execute(
            "SELECT mod_revision, delete_time, digest FROM set_aside"
            " WHERE sid = ? AND slot = ? AND entity = ?",
            place,
        ).fetchone()
        if row is not None:
            found[place] = Version(*row)
    return found


def forget_aside(connection: sqlite3.Connection, places: Iterable[LeafPlace]) -> None:
    """Remove records from those set aside: they are written again."""
    connection.executemany("DELETE FROM set_aside WHERE sid = ? AND slot = ? AND entity = ?", places)


def list_aside(connection: sqlite3.Connection, limit: int = -1) -> list[SetAside]:
    """Up to `limit` records that are set aside; all of them without a limit."""
    rows = connection.execute(
        "SELECT entity, reason FROM set_aside ORDER BY sid, slot, entity LIMIT ?", (limit,)
    ).fetchall()
    return [SetAside(key_name(key), reason) for key, reason in rows]


def count_aside(connection: sqlite3.Connection) -> int:
    """How many records are set aside."""
    return int(connection.execute("SELECT count(*) FROM set_aside").fetchone()[0])


def shards_with_aside(connection: sqlite3.Connection) -> dict[ShardId, str]:
    """The shards of which records are set aside, each with the name of one record. Nearly always none."""
    return {
        ShardId(group_text(group), *shard): key_name(key)
        for group, *shard, key in connection.execute(_SHARDS_SQL).fetchall()
    }


def set_all_aside(connection: sqlite3.Connection) -> int:
    """Read every record, and set the damaged ones aside; returns how many."""
    rows = connection.execute(
        "SELECT sid, slot, entity, mod_revision, delete_time, digest, bytes FROM leaf"
        " LEFT JOIN payload USING (rid)"
    )
    damaged = [
        LeafPlace(sid, slot, key)
        for sid, slot, key, *version, payload in rows
        if _damage(key, Version(*version), payload)
    ]
    return sum(set_aside(connection, place) for place in damaged)


def key_name(key: bytes) -> str:
    """The entity of a key as text; of a damaged key its bytes."""
    try:
        return key_entity(key).text
    except DamagedKeyError:
        return repr(key)[:80]


def _damage(key: bytes, version: Version, payload: bytes | None) -> str:
    """What is wrong with a record; empty if nothing is."""
    try:
        key_entity(key)
        intact(payload, version)
    except DamageError as finding:
        return str(finding)
    return ""


# The first condition is false for all shards at once while nothing is set aside.
_SHARDS_SQL = (
    "SELECT grp, number, incarnation,"
    " (SELECT entity FROM set_aside WHERE set_aside.sid = shard.sid ORDER BY slot, entity LIMIT 1) AS key"
    " FROM shard WHERE (SELECT EXISTS (SELECT 1 FROM set_aside)) AND key IS NOT NULL"
)
_FIND_SQL = (
    "SELECT mod_revision, delete_time, digest, sha IS NULL, leaf.rid, bytes FROM leaf"
    " LEFT JOIN payload ON payload.rid = leaf.rid WHERE sid = ? AND slot = ? AND entity = ?"
)
