"""The marks of shards, and the removal of records by their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.store.retention import HeldVersion
from gossipnode.store.sqlite.tables.damage import leaf_checked
from gossipnode.store.sqlite.tables.entity_key import entity_key, key_entity
from gossipnode.store.sqlite.tables.index_table import indexes_of, remove_entity
from gossipnode.store.sqlite.tables.rows import LeafPlace, find_shard, group_text, held_leaves, shard_row


def all_marks(connection: sqlite3.Connection) -> dict[ShardId, Marks]:
    """The marks of every shard of which some are kept."""
    rows = connection.execute(
        "SELECT grp, number, incarnation, sealed, complete, mark FROM retention"
    ).fetchall()
    return {ShardId(group_text(row[0]), row[1], row[2]): Marks(*row[3:]) for row in rows}


def keep_marks(
    connection: sqlite3.Connection, known: Mapping[ShardId, Marks], shard: ShardId, marks: Marks | None
) -> dict[ShardId, Marks]:
    """Raise the marks of a shard, or forget them (None); gives those of all shards."""
    others = {each: held for each, held in known.items() if each != shard}
    if marks is None:
        connection.execute(_FORGET_SQL, shard_row(shard))
        return others
    joined = marks.joined(known.get(shard, NO_MARKS))
    connection.execute(
        "INSERT OR REPLACE INTO retention VALUES (?, ?, ?, ?, ?, ?)", shard_row(shard) + joined
    )
    return {**others, shard: joined}


def old_tombstones(
    connection: sqlite3.Connection, shard: ShardId, up_to: int, limit: int
) -> list[HeldVersion]:
    """Up to `limit` tombstones of a shard with a stamp up to this one, the oldest first.

    Raises:
        DamagedLeafError: the key of one of them is not what was written.
    """
    sid = find_shard(connection, shard)
    if sid is None:
        return []
    found: list[HeldVersion] = []
    for slot, key, *version in connection.execute(_TOMBSTONES_SQL, (sid, up_to, limit)).fetchall():
        with leaf_checked(sid, slot, key):
            found.append(HeldVersion(key_entity(key), Version(*version)))
    return found


def remove_versions(
    connection: sqlite3.Connection,
    shard: ShardId,
    versions: Sequence[HeldVersion],
    marks: Mapping[ShardId, Marks],
) -> list[Entity]:
    """Remove those of these versions that are held, with payloads and index rows; gives their entities."""
    sid = find_shard(connection, shard)
    if sid is None:
        return []
    connection.execute(_ASIDE_SQL, (sid, marks.get(shard, NO_MARKS).mark))
    places = {
        LeafPlace(sid, slot_of(entity), entity_key(entity)): HeldVersion(entity, version)
        for entity, version in versions
    }
    held = held_leaves(connection, list(places))
    gone = {place: leaf for place, leaf in held.items() if leaf.version == places[place].version}
    indexes = list(indexes_of(connection, sid).values())
    counts: dict[int, list[int]] = {}
    for place, leaf in gone.items():
        count = counts.setdefault(place.slot, [0, 0, 0])
        count[1 if leaf.version.delete_time else 0] += 1
        count[2] += not leaf.hashed
        if indexes and not leaf.version.delete_time:
            remove_entity(connection, indexes, place.key)
    connection.executemany("DELETE FROM payload WHERE rid = ?", [(leaf.rid,) for leaf in gone.values()])
    connection.executemany("DELETE FROM leaf WHERE sid = ? AND slot = ? AND entity = ?", list(gone))
    connection.executemany(_COUNT_SQL, [(*count, sid, slot) for slot, count in counts.items()])
    return [places[place].entity for place in gone]


_FORGET_SQL = "DELETE FROM retention WHERE grp = ? AND number = ? AND incarnation = ?"
_TOMBSTONES_SQL = (
    "SELECT slot, entity, mod_revision, delete_time, digest FROM leaf INDEXED BY leaf_tombstone"
    " WHERE sid = ? AND delete_time > 0 AND max(mod_revision, delete_time) <= ?"
    " ORDER BY max(mod_revision, delete_time) LIMIT ?"
)
_ASIDE_SQL = "DELETE FROM set_aside WHERE sid = ? AND delete_time > 0 AND max(mod_revision, delete_time) <= ?"
_COUNT_SQL = (
    "UPDATE slot SET generation = generation + 1, sha = NULL, records = records - ?,"
    " tombstones = tombstones - ?, unhashed = unhashed - ? WHERE sid = ? AND slot = ?"
)
