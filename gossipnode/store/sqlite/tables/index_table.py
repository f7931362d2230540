"""The tag indexes: what there is, what is found in them, and how they follow the records.

`tag_index` has a row for each index (numbered `iid`), `tag_row` the rows of all indexes. Whatever changes
them runs in the transaction that changes the records, so that an index always agrees with the records.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import NamedTuple, TypeAlias

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import Version
from gossipnode.store.interface import IndexRows, IndexState
from gossipnode.store.prepared import INDEXES_PER_SHARD_MAX
from gossipnode.store.sqlite.tables.damage import DamageError, intact
from gossipnode.store.sqlite.tables.entity_key import END_KEY
from gossipnode.store.sqlite.tables.rows import HeldLeaf, LeafPlace, add_shard, find_shard
from gossipnode.store.sqlite.tables.statements import RowsSql, execute_rows, statement_rows

INDEX_READ_ROWS = 16
"""Payloads, each of a MiB at most, that are in memory at once while their index rows are made."""

INDEX_BUILD_BYTES = 8 << 20
"""Bytes of payload that one step of building indexes reads. Other writes wait until it is done."""

TagRow: TypeAlias = tuple[int, int, bytes, bytes]
"""A row of an index: (iid, kind, key, entity key)."""

RawHit: TypeAlias = tuple[bytes, bytes]
"""What a page of an index consists of: (key, entity key). `IndexHit` is the same with the entity decoded."""


class Change(NamedTuple):
    """What a write does to a record of a shard that has indexes."""

    entity: bytes
    indexes: Mapping[str, int]
    """The numbers of the shard's indexes by tag."""
    before: HeldLeaf | None
    """What the write replaces. None if that is not a live record: then it has no rows in an index."""
    after: bytes | None
    """The payload that is written. None for a tombstone, which has no rows in an index."""


class _Leaf(NamedTuple):
    place: LeafPlace
    version: Version
    payload: bytes


def tag_bytes(tag: str) -> bytes:
    """The name of a tag as it is kept: UTF-8, and some bytes for a text that is not valid Unicode too."""
    return tag.encode(errors="surrogatepass")


def tag_text(tag: bytes) -> str:
    """The name of a tag. One that rotted to bytes that are no text is the name of no tag."""
    return tag.decode(errors="surrogateescape")


def indexes_of(connection: sqlite3.Connection, sid: int) -> dict[str, int]:
    """The numbers of a shard's indexes, ready or not, by tag. Every write to the shard must follow them."""
    rows = connection.execute("SELECT tag, iid FROM tag_index WHERE sid = ?", (sid,)).fetchall()
    return {tag_text(tag): iid for tag, iid in rows}


def index_states(connection: sqlite3.Connection, shard: ShardId) -> dict[str, IndexState]:
    """The indexes of a shard, ordered by tag."""
    sid = find_shard(connection, shard)
    rows = connection.execute(
        "SELECT tag, slot IS NULL FROM tag_index WHERE sid = ? ORDER BY tag", (sid,)
    ).fetchall()
    return {tag_text(tag): IndexState.READY if ready else IndexState.BUILDING for tag, ready in rows}


def find_index(connection: sqlite3.Connection, shard: ShardId, tag: str) -> tuple[int, bool] | None:
    """The number of an index, and whether it is ready; None if there is no such index."""
    row = connection.execute(
        "SELECT iid, slot IS NULL FROM tag_index WHERE sid = ? AND tag = ?",
        (find_shard(connection, shard), tag_bytes(tag)),
    ).fetchone()
    return (row[0], bool(row[1])) if row else None


def any_index_work(connection: sqlite3.Connection) -> bool:
    """Whether `build_step` has anything to do."""
    row = connection.execute(
        "SELECT 1 FROM tag_index WHERE sid IS NULL OR slot IS NOT NULL LIMIT 1"
    ).fetchone()
    return row is not None


def ascending_page(
    connection: sqlite3.Connection, iid: int, kind: int, low: RawHit, high: bytes, limit: int
) -> list[RawHit]:
    """Up to `limit` rows that come after `low` and whose key is at most `high`, in the order of the index."""
    return connection.execute(ASCENDING_SQL, (iid, kind, *low, high, limit)).fetchall()


def descending_page(
    connection: sqlite3.Connection, iid: int, kind: int, low: bytes, high: RawHit, limit: int
) -> list[RawHit]:
    """Up to `limit` rows that come before `high` and whose key is at least `low`.

    Keys descend, but the entities of one key ascend. Read from the end, the entities of a key come in
    descending order. They are reversed for a key that was read to its end. The last key of a full page may go
    on after the page; its first entities are read again, in ascending order.
    """
    run: list[RawHit] = connection.execute(DESCENDING_SQL, (iid, kind, *high, low, limit)).fetchall()
    page: list[RawHit] = []
    for key, hits in groupby(run, lambda hit: hit[0]):
        part = list(hits)
        if len(page) + len(part) < limit:
            page += reversed(part)
        else:
            page += ascending_page(connection, iid, kind, before_key(key), key, len(part))
    return page


def before_key(key: bytes) -> RawHit:
    """Comes before all rows of a key and after all rows of smaller keys, since no entity key is empty."""
    return key, b""


def after_key(key: bytes) -> RawHit:
    """Comes after all rows of a key and before all rows of larger keys."""
    return key, END_KEY


ASCENDING_SQL = (
    "SELECT key, entity FROM tag_row WHERE iid = ? AND kind = ? AND (key, entity) > (?, ?) AND key <= ?"
    " ORDER BY key, entity LIMIT ?"
)
DESCENDING_SQL = (
    "SELECT key, entity FROM tag_row WHERE iid = ? AND kind = ? AND (key, entity) < (?, ?) AND key >= ?"
    " ORDER BY key DESC, entity DESC LIMIT ?"
)


def want_index(connection: sqlite3.Connection, shard: ShardId, tag: str) -> int:
    """Begin an index unless there is one; returns 0 if the shard has too many to begin another, else 1."""
    sid = find_shard(connection, shard)
    if sid is None:
        sid = add_shard(connection, shard)
    key = tag_bytes(tag)
    others = [row[0] for row in connection.execute("SELECT tag FROM tag_index WHERE sid = ?", (sid,))]
    if key in others:
        return 1
    if len(others) >= INDEXES_PER_SHARD_MAX:
        return 0
    # Without leaves there is nothing to build: slot is null, and the index is ready at once.
    connection.execute(
        "INSERT INTO tag_index (sid, tag, slot, entity)"
        " VALUES (?1, ?2, (SELECT slot FROM leaf WHERE sid = ?1 ORDER BY slot LIMIT 1), x'')",
        (sid, key),
    )
    return 1


def give_up_index(connection: sqlite3.Connection, *, shard: ShardId, tag: str, limit: int) -> int:
    """Give up an index; then as `clear_given_up`."""
    sid = find_shard(connection, shard)
    connection.execute("UPDATE tag_index SET sid = NULL WHERE sid = ? AND tag = ?", (sid, tag_bytes(tag)))
    connection.execute(
        "DELETE FROM shard WHERE sid = ?1 AND NOT EXISTS (SELECT 1 FROM slot WHERE sid = ?1)"
        " AND NOT EXISTS (SELECT 1 FROM tag_index WHERE sid = ?1)",
        (sid,),
    )
    return clear_given_up(connection, limit)


def clear_given_up(connection: sqlite3.Connection, limit: int) -> int:
    """Remove up to `limit` rows of an index that was given up; returns 0 once nothing is left of any."""
    index = connection.execute("SELECT iid FROM tag_index WHERE sid IS NULL LIMIT 1").fetchone()
    if index is None:
        return 0
    end = connection.execute(
        "SELECT kind, key, entity FROM tag_row WHERE iid = ? ORDER BY kind, key, entity LIMIT 1 OFFSET ?",
        (*index, limit - 1),
    ).fetchone()
    # Rows that rotted out of their order cannot be removed. They stay, of an index that is no more.
    if (
        end is not None
        and connection.execute(
            "DELETE FROM tag_row WHERE iid = ? AND (kind, key, entity) <= (?, ?, ?)", (*index, *end)
        ).rowcount
    ):
        return limit
    removed = connection.execute("DELETE FROM tag_row WHERE iid = ?", index).rowcount
    connection.execute("DELETE FROM tag_index WHERE iid = ?", index)
    return min(max(removed, 1), limit)


def follow_changes(connection: sqlite3.Connection, index_rows: IndexRows, changes: Sequence[Change]) -> None:
    """Replace the rows of changed records. Must run before their old payloads are overwritten."""
    gone: set[TagRow] = set()
    new: set[TagRow] = set()
    for start in range(0, len(changes), INDEX_READ_ROWS):
        part = changes[start : start + INDEX_READ_ROWS]
        payloads = _payloads(connection, [change.before.rid for change in part if change.before])
        for change in part:
            before = after = set[TagRow]()
            if change.before is not None:
                payload = _sound(payloads.get(change.before.rid), change.before.version)
                if payload is None:
                    # Its rows are not known, so they are looked for.
                    remove_entity(connection, change.indexes.values(), change.entity)
                else:
                    before = rows_of(index_rows, payload, change.indexes, change.entity)
            if change.after is not None:
                after = rows_of(index_rows, change.after, change.indexes, change.entity)
            gone |= before - after
            new |= after - before
    execute_rows(connection, REMOVE_SQL, sorted(gone))
    execute_rows(connection, _ADD_SQL, sorted(new))


def build_step(connection: sqlite3.Connection, index_rows: IndexRows, limit: int) -> int:
    """Take up to `limit` more records into indexes; returns how many, and 0 once all indexes are ready.

    The rows of indexes that were given up are removed first, and count as records do.
    """
    taken = clear_given_up(connection, limit)
    size = 0
    while taken < limit and size < INDEX_BUILD_BYTES:
        # Indexes that have come equally far, as those wanted at the same time have, are built together.
        place = connection.execute(
            "SELECT sid, slot, entity FROM tag_index WHERE slot IS NOT NULL AND sid IS NOT NULL ORDER BY iid"
        ).fetchone()
        if place is None:
            break
        leaves = _leaves_after(connection, LeafPlace(*place), min(limit - taken, INDEX_READ_ROWS))
        indexes = {
            tag_text(tag): iid
            for tag, iid in connection.execute(
                "SELECT tag, iid FROM tag_index WHERE sid = ? AND slot = ? AND entity = ?", place
            ).fetchall()
        }
        rows: set[TagRow] = set()
        for leaf in leaves:
            if not leaf.version.delete_time:
                # A rotten record has no rows. The next read of it sets it aside.
                payload = _sound(leaf.payload, leaf.version)
                if payload is not None:
                    rows |= rows_of(index_rows, payload, indexes, leaf.place.key)
            size += len(leaf.payload)
        execute_rows(connection, _ADD_SQL, sorted(rows))
        reached = max(leaf.place for leaf in leaves)[1:] if leaves else (None, b"")
        connection.execute(
            "UPDATE tag_index SET slot = ?, entity = ? WHERE sid = ? AND slot = ? AND entity = ?",
            (*reached, *place),
        )
        taken += len(leaves)
    assert taken <= limit
    return taken


def remove_entity(connection: sqlite3.Connection, indexes: Iterable[int], entity: bytes) -> None:
    """Remove all rows of a record whose payload is not known any more. It goes through the whole index."""
    for iid in indexes:
        connection.execute("DELETE FROM tag_row WHERE iid = ? AND entity = ?", (iid, entity))


def remove_hit(connection: sqlite3.Connection, iid: int, kind: int, hit: RawHit) -> int:
    """Remove a row whose entity key is damaged; returns how many rows that were."""
    sql = "DELETE FROM tag_row WHERE iid = ? AND kind = ? AND key = ? AND entity = ?"
    return connection.execute(sql, (iid, kind, *hit)).rowcount


def _sound(payload: bytes | None, version: Version) -> bytes | None:
    """The payload, or None if it has rotted."""
    try:
        return intact(payload, version)
    except DamageError:
        return None


def rows_of(index_rows: IndexRows, payload: bytes, indexes: Mapping[str, int], entity: bytes) -> set[TagRow]:
    """The rows of a live record in these indexes. A payload that cannot be read has none."""
    try:
        rows = index_rows(payload, indexes.keys())
    except Exception:  # noqa: BLE001 (a payload of a peer must be written even if it cannot be read)
        return set()
    return {(indexes[row.tag], int(row.kind), row.key, entity) for row in rows}


def _payloads(connection: sqlite3.Connection, rids: Sequence[int]) -> dict[int, bytes]:
    """Payloads by rid, read as one text for the reason that `held_leaves` gives."""
    found: dict[int, bytes] = {}
    for part in statement_rows(rids, INDEX_READ_ROWS, filler=0):
        (text,) = connection.execute(payloads_sql(len(part)), part).fetchone()
        for row in text.split(";") if text else ():
            rid, payload = row.split(" ")
            found[int(rid)] = bytes.fromhex(payload)
    return found


def _leaves_after(connection: sqlite3.Connection, place: LeafPlace, limit: int) -> list[_Leaf]:
    """Up to `limit` leaves of a shard that come after a place, read as one text like `held_leaves`.

    The payload of a tombstone is left empty.
    """
    (text,) = connection.execute(LEAVES_SQL, (*place, limit)).fetchone()
    leaves: list[_Leaf] = []
    for row in text.split(";") if text else ():
        slot, key, mod_revision, delete_time, digest, payload = row.split(" ")
        version = Version(int(mod_revision), int(delete_time), bytes.fromhex(digest))
        leaf_place = LeafPlace(place.sid, int(slot), bytes.fromhex(key))
        leaves.append(_Leaf(leaf_place, version, bytes.fromhex(payload)))
    return leaves


@cache
def payloads_sql(count: int) -> str:
    """The statement that reads the payloads of `count` rids."""
    asked = ",".join(["(?)"] * count)
    return (
        f"WITH asked(rid) AS (VALUES {asked})"
        " SELECT group_concat(rid || ' ' || hex(bytes), ';') FROM asked CROSS JOIN payload USING (rid)"
    )


LEAVES_SQL = (
    "SELECT group_concat(slot || ' ' || hex(entity) || ' ' || mod_revision || ' ' || delete_time || ' '"
    " || hex(digest) || ' ' || CASE delete_time WHEN 0 THEN coalesce(hex(bytes), '') ELSE '' END, ';')"
    " FROM (SELECT * FROM leaf WHERE sid = ? AND (slot, entity) > (?, ?) ORDER BY slot, entity LIMIT ?)"
    " LEFT JOIN payload USING (rid)"
)
_ADD_SQL = RowsSql("INSERT OR IGNORE INTO tag_row (iid, kind, key, entity) VALUES ", "(?,?,?,?)")
# With "IN" and a list of row values, SQLite would scan all rows of the index instead of seeking each.
REMOVE_SQL = RowsSql(
    "DELETE FROM tag_row WHERE ", "(iid, kind, key, entity) = (?,?,?,?)", between=" OR ", largest=64
)
