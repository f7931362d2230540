"""What commits have stored, found by their numbers; and how a record came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from gossipnode.core.model.version import Version
from gossipnode.store.follower import Replaced
from gossipnode.store.sqlite.tables.damage import intact, kept_stamp, leaf_checked
from gossipnode.store.sqlite.tables.rows import LeafPlace


class ChangeRow(NamedTuple):
    """A record as it is held, and how it came."""

    place: LeafPlace
    version: Version
    payload: bytes
    rid: int
    sequence: int
    """0 for a record of before this was kept."""
    arrival: bytes
    built_upon: int | None
    replaced: Replaced | None


class ChangeRows(NamedTuple):
    """Some of the changes of a shard, those of whole commits."""

    rows: list[ChangeRow]
    whole: bool
    """Whether these are all."""


def changes_since(connection: sqlite3.Connection, sid: int, sequence: int, limit: int) -> ChangeRows:
    """See `StoreChanges.since`.

    Raises:
        DamagedLeafError: one of the records is not what was written.
    """
    rows = _ranged(connection, sid, sequence, None, limit)
    if len(rows) < limit:
        return ChangeRows(rows, whole=True)
    last = rows[-1].sequence
    kept = [row for row in rows if row.sequence < last]
    # A commit that is larger than a page is told in one.
    return ChangeRows(kept or _ranged(connection, sid, last - 1, last, -1), whole=False)


def change_at(connection: sqlite3.Connection, place: LeafPlace) -> ChangeRow | None:
    """See `StoreChanges.of`; None if the record is not held.

    Raises:
        DamagedLeafError: the record is not what was written.
    """
    where = "leaf WHERE leaf.sid = ? AND slot = ? AND entity = ?"
    row = connection.execute(_CHANGE_SQL.format(_COLUMNS, where), place).fetchone()
    return _change(place.sid, row) if row else None


def _ranged(
    connection: sqlite3.Connection, sid: int, after: int, last: int | None, limit: int
) -> list[ChangeRow]:
    where = "leaf INDEXED BY leaf_changed WHERE sid = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
    until = (1 << 63) - 1 if last is None else last
    rows = connection.execute(_CHANGE_SQL.format(_COLUMNS, where), (sid, after, until, limit))
    return [_change(sid, row) for row in rows.fetchall()]


def _change(sid: int, row: Sequence[Any]) -> ChangeRow:
    slot, key, mod_revision, delete_time, digest, rid, sequence, payload, *beside = row
    arrival, built_upon, revision, deleted = beside
    version = Version(mod_revision, delete_time, digest)
    with leaf_checked(sid, slot, key):
        payload = intact(payload, version)
    return ChangeRow(
        LeafPlace(sid, slot, key),
        version,
        payload,
        rid,
        sequence or 0,
        arrival if isinstance(arrival, bytes) else b"",
        kept_stamp(built_upon),
        None if revision is None else Replaced(revision, deleted or 0),
    )


_COLUMNS = "slot, entity, mod_revision, delete_time, digest, rid, seq"
# The leaves are found first, each in its order; only those of the page have their payloads read.
_CHANGE_SQL = (
    "SELECT found.*, bytes, arrival, built_upon, replaced_revision, replaced_delete"
    " FROM (SELECT {} FROM {}) AS found LEFT JOIN payload USING (rid)"
)
