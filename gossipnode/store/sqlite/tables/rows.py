"""Shards, slots, leaves, payloads and notes: most of the functions read, a few write.

A shard stands in all other tables as its number `sid`, a leaf's payload as its number `rid`. `schema`
describes the tables.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cache
from itertools import islice
from typing import NamedTuple

from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.store.sqlite.tables.damage import (
    DamagedLeafError,
    DamageError,
    intact,
    kept_stamp,
    leaf_checked,
    next_key,
)
from gossipnode.store.sqlite.tables.entity_key import (
    END_KEY,
    after_group,
    entity_key,
    key_entity,
    key_group,
    name_range,
)
from gossipnode.store.sqlite.tables.statements import statement_rows


class LeafPlace(NamedTuple):
    """The primary key of a leaf's row."""

    sid: int
    slot: int
    key: bytes


class HeldLeaf(NamedTuple):
    """What the store holds of an entity, without the payload."""

    version: Version
    rid: int
    hashed: bool


class SlotRow(NamedTuple):
    """The counters of a slot, and its digest (hex) unless a write has made that stale."""

    slot: int
    generation: int
    records: int
    tombstones: int
    unhashed: int
    sha: str | None


class SlotSha(NamedTuple):
    """A slot digest, and the generation of the slot that it was computed from."""

    sid: int
    slot: int
    generation: int
    sha: bytes


class LeafRow(NamedTuple):
    """A leaf. `sha` is its raw digest, or None as long as that has not been computed."""

    key: bytes
    version: Version
    sha: bytes | None


class UnhashedLeaf(NamedTuple):
    """A leaf without a digest, with the payload that the digest is computed from."""

    place: LeafPlace
    rid: int
    version: Version
    payload: bytes | None


def find_shard(connection: sqlite3.Connection, shard: ShardId) -> int | None:
    """The number of a shard, or None if nothing of it is held."""
    row = connection.execute(_FIND_SQL, shard_row(shard)).fetchone()
    return row[0] if row else None


def all_shards(connection: sqlite3.Connection) -> list[tuple[int, ShardId]]:
    """Every shard with its number, ordered by group, shard and incarnation."""
    rows = connection.execute("SELECT sid, grp, number, incarnation FROM shard ORDER BY 2, 3, 4").fetchall()
    return [(sid, ShardId(group_text(group), *shard)) for sid, group, *shard in rows]


def add_shard(connection: sqlite3.Connection, shard: ShardId) -> int:
    """Give a number to a shard that has none; returns it."""
    sid = connection.execute(
        "INSERT INTO shard (grp, number, incarnation) VALUES (?, ?, ?)", shard_row(shard)
    ).lastrowid
    assert sid is not None
    return sid


def meta_number(connection: sqlite3.Connection, key: str) -> int:
    """A number from the table `meta`."""
    return int(connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def note(connection: sqlite3.Connection, key: str) -> bytes | None:
    """The note kept under a key, or None."""
    row = connection.execute("SELECT value FROM note WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def keep_note(connection: sqlite3.Connection, key: str, value: bytes | None) -> int:
    """Keep a note, or remove it (`value` None); returns how many rows that changed."""
    if value is None:
        return connection.execute("DELETE FROM note WHERE key = ?", (key,)).rowcount
    return connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value)).rowcount


def held_leaves(connection: sqlite3.Connection, places: Sequence[LeafPlace]) -> dict[LeafPlace, HeldLeaf]:
    """What is held at these places. A place where nothing is held is left out.

    The answer comes as one row of text. Each row that SQLite steps to releases the interpreter's lock, and
    beside a busy loop the writer's thread gets the lock back only after 5 ms.
    """
    held: dict[LeafPlace, HeldLeaf] = {}
    for part in statement_rows(places):
        parameters = [value for place in part for value in place]
        (text,) = connection.execute(_held_sql(len(part)), parameters).fetchone()
        for row in text.split(";") if text else ():
            position, mod_revision, delete_time, digest, rid, hashed = row.split(" ")
            version = Version(int(mod_revision), int(delete_time), bytes.fromhex(digest))
            held[part[int(position)]] = HeldLeaf(version, int(rid), hashed == "1")
    return held


def read_payloads(
    connection: sqlite3.Connection, shard: ShardId, keys: Sequence[tuple[int, bytes]]
) -> tuple[dict[int, tuple[Version, bytes, int | None]], list[int]]:
    """What is held by position in `keys`, which are pairs (slot, key); and the positions set aside.

    Held are a version, its payload, and the stamp that it was built upon.

    `keys` must be a list that `statement_rows` gives. All is read by one statement, which needs no
    transaction around it to see one state: a record that was set aside may be written again at any time, and
    must not look as if it had never been there.

    Raises:
        DamagedLeafError: one of the records is not what was written.
    """
    parameters: list[int | bytes] = [value for key in keys for value in key]
    rows = connection.execute(_read_sql(len(keys)), [*shard_row(shard), *parameters]).fetchall()
    found: dict[int, tuple[Version, bytes, int | None]] = {}
    aside: list[int] = []
    for position, mod_revision, delete_time, digest, payload, built_upon in rows:
        if mod_revision is None:
            aside.append(position)
            continue
        version = Version(mod_revision, delete_time, digest)
        try:
            found[position] = version, intact(payload, version), kept_stamp(built_upon)
        except DamageError as finding:
            slot, key = keys[int(position)]
            raise DamagedLeafError((find_shard(connection, shard) or 0, slot, key), finding) from finding
    return found, aside


def leaf_page(
    connection: sqlite3.Connection, sid: int, slot: int, after: Entity | None, limit: int
) -> list[LeafRow]:
    """Up to `limit` leaves of a slot that come after the entity `after`, in entity order."""
    low = entity_key(after) if after else b""
    rows = connection.execute(
        "SELECT entity, mod_revision, delete_time, digest, CAST(sha AS BLOB) FROM leaf"
        " WHERE sid = ? AND slot = ? AND entity > ? ORDER BY entity LIMIT ?",
        (sid, slot, low, limit),
    ).fetchall()
    for row in rows:
        with leaf_checked(sid, slot, row[0]):
            low = next_key(low, row[0])
    return [
        LeafRow(key, Version(mod_revision, delete_time, digest), sha)
        for key, mod_revision, delete_time, digest, sha in rows
    ]


def scan_page(
    connection: sqlite3.Connection, sid: int, after: Entity | None, limit: int, name: str | None
) -> list[Record]:
    """Up to `limit` records of a shard that come after the entity `after`, in entity order.

    With `name`, only the records of that name.

    Raises:
        DamagedLeafError: one of the records is not what was written.
    """
    records: list[Record] = []
    low = entity_key(after) if after else b""
    while len(records) < limit:
        if name is None:
            records.extend(_scan_range(connection, sid, low, END_KEY, limit))
            break
        first = _first_key(connection, sid, low)
        if first is None:
            break
        # A shard usually holds one group. Where it holds several, each is read from the name asked for on.
        start, end = name_range(key_group(first), name)
        records.extend(_scan_range(connection, sid, max(low, start), end, limit - len(records)))
        low = after_group(key_group(first))
    return records


def slot_rows(connection: sqlite3.Connection, sid: int) -> list[SlotRow]:
    """The slots of a shard that hold leaves, in ascending order."""
    rows = connection.execute(
        "SELECT slot, generation, records, tombstones, unhashed, sha FROM slot"
        " WHERE sid = ? AND records + tombstones > 0 ORDER BY slot",
        (sid,),
    ).fetchall()
    return [
        SlotRow(
            slot, generation, records, tombstones, unhashed, sha.hex() if isinstance(sha, bytes) else None
        )
        for slot, generation, records, tombstones, unhashed, sha in rows
    ]


def slot_leaves(
    connection: sqlite3.Connection, sid: int, slot: int, *, with_versions: bool
) -> sqlite3.Cursor:
    """A cursor over the digests of a slot's leaves, in entity order.

    Its rows are (sha,), or with versions (sha, rid, key, mod_revision, delete_time, digest). The caller reads
    it inside a transaction and closes it.
    """
    version = ", rid, entity, mod_revision, delete_time, digest" if with_versions else ""
    return connection.execute(
        f"SELECT CAST(sha AS BLOB){version} FROM leaf WHERE sid = ? AND slot = ? ORDER BY entity", (sid, slot)
    )


def leaf_at(
    connection: sqlite3.Connection, place: LeafPlace
) -> tuple[Version, bytes | None, bytes | None] | None:
    """Version, raw digest (None if not computed yet) and payload (None if it is gone) of one leaf.

    None if the leaf is not held.
    """
    row = connection.execute(
        "SELECT mod_revision, delete_time, digest, CAST(sha AS BLOB), bytes FROM leaf"
        " LEFT JOIN payload USING (rid) WHERE sid = ? AND slot = ? AND entity = ?",
        place,
    ).fetchone()
    return (Version(*row[:3]), row[3], row[4]) if row else None


def next_unhashed_shard(connection: sqlite3.Connection, after: int) -> int | None:
    """The first shard with a number above `after` in which leaf digests are missing, or None."""
    row = connection.execute(
        "SELECT sid FROM leaf INDEXED BY leaf_unhashed WHERE sha IS NULL AND sid > ? ORDER BY sid LIMIT 1",
        (after,),
    ).fetchone()
    return row[0] if row else None


def unhashed_page(
    connection: sqlite3.Connection, sid: int, after_rid: int, last: int, limit: int
) -> list[UnhashedLeaf]:
    """Up to `limit` leaves without a digest whose rid is above `after_rid` and at most `last`, by rid."""
    rows = connection.execute(
        "SELECT leaf.slot, leaf.entity, leaf.rid, mod_revision, delete_time, digest, bytes"
        " FROM (SELECT sid, slot, entity, rid FROM leaf INDEXED BY leaf_unhashed"
        "   WHERE sha IS NULL AND sid = ? AND rid > ? AND rid <= ? ORDER BY rid LIMIT ?) AS due"
        " CROSS JOIN leaf USING (sid, slot, entity) LEFT JOIN payload ON payload.rid = leaf.rid"
        " ORDER BY leaf.rid",
        (sid, after_rid, last, limit),
    ).fetchall()
    return [
        UnhashedLeaf(LeafPlace(sid, slot, key), rid, Version(mod_revision, delete_time, digest), payload)
        for slot, key, rid, mod_revision, delete_time, digest, payload in rows
    ]


def payload_of(connection: sqlite3.Connection, rid: int) -> bytes | None:
    """The payload of a leaf that was read in the same transaction; None if its row is gone."""
    row = connection.execute("SELECT bytes FROM payload WHERE rid = ?", (rid,)).fetchone()
    return row[0] if row else None


def last_rid(connection: sqlite3.Connection) -> int:
    """The largest rid in use, or 0."""
    return int(connection.execute("SELECT coalesce(max(rid), 0) FROM payload").fetchone()[0])


def shard_row(shard: ShardId) -> tuple[bytes, int, int]:
    """The columns by which a shard is found: group, number, incarnation."""
    return shard.group.encode(errors="surrogateescape"), shard.shard, shard.incarnation


def group_text(group: bytes) -> str:
    """The name of a shard's group. One that rotted to bytes that are no text is the name of no group."""
    return group.decode(errors="surrogateescape")


_FIND_SQL = "SELECT sid FROM shard WHERE grp = ?1 AND number = ?2 AND incarnation = ?3"


def _scan_range(
    connection: sqlite3.Connection, sid: int, low: bytes, high: bytes, limit: int
) -> Iterator[Record]:
    """Records between two keys (both exclusive), in entity order.

    Leaves are kept by slot, and in entity order within each: so the slots are merged. An index in entity
    order would make every write dearer.
    """
    with ExitStack() as cursors:
        slots = [
            cursors.enter_context(closing(connection.execute(sql, (sid, low, high, limit))))
            for sql in _SCAN_SLOT_SQL
        ]
        rows = list(islice(heapq.merge(*slots), limit))
    for key, mod_revision, delete_time, digest, rid, slot in rows:
        version = Version(mod_revision, delete_time, digest)
        try:
            low = next_key(low, key)
            yield Record(key_entity(key), version, intact(payload_of(connection, rid), version))
        except DamageError as finding:
            raise DamagedLeafError((sid, slot, key), finding) from finding


def _first_key(connection: sqlite3.Connection, sid: int, low: bytes) -> bytes | None:
    found = (connection.execute(sql, (sid, low, END_KEY, 1)).fetchone() for sql in _SCAN_SLOT_SQL)
    return min((row[0] for row in found if row), default=None)


# One text for each slot: a scan reads all slots at once, and for one text only one statement stays prepared.
_SCAN_SLOT_SQL = tuple(
    f"SELECT entity, mod_revision, delete_time, digest, rid, {slot} FROM leaf"
    f" WHERE sid = ? AND slot = {slot} AND entity > ? AND entity < ? ORDER BY entity LIMIT ?"
    for slot in range(SLOT_COUNT)
)


@cache
def _held_sql(count: int) -> str:
    asked = ",".join(f"({position},?,?,?)" for position in range(count))
    return (
        f"WITH asked(position, sid, slot, entity) AS (VALUES {asked})"
        " SELECT group_concat(position || ' ' || mod_revision || ' ' || delete_time || ' ' || hex(digest)"
        " || ' ' || rid || ' ' || (sha IS NOT NULL), ';')"
        " FROM asked CROSS JOIN leaf USING (sid, slot, entity)"
    )


@cache
def _read_sql(count: int) -> str:
    asked = ",".join(f"({each},?{2 * each + 4},?{2 * each + 5})" for each in range(count))
    return (
        f"WITH asked(position, slot, entity) AS (VALUES {asked})"
        " SELECT position, mod_revision, delete_time, digest, bytes, built_upon FROM asked LEFT JOIN leaf"
        f" ON leaf.sid = ({_FIND_SQL}) AND leaf.slot = asked.slot AND leaf.entity = asked.entity"
        " LEFT JOIN payload ON payload.rid = leaf.rid"
        " WHERE leaf.sid IS NOT NULL OR EXISTS (SELECT 1 FROM set_aside AS lost"
        f" WHERE lost.sid = ({_FIND_SQL}) AND lost.slot = asked.slot AND lost.entity = asked.entity)"
    )
