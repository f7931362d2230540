"""Writes records: their leaves, their payloads, and the counters of their slots."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

from gossipnode.store.prepared import PreparedRecord
from gossipnode.store.sqlite.tables.rows import HeldLeaf, LeafPlace
from gossipnode.store.sqlite.tables.statements import RowsSql, SqlValue, execute_rows, statement_rows


class RecordRows:
    """The rows of the records that one commit stores."""

    __slots__ = ("_counts", "_last_rid", "_leaves", "_new_payloads", "_payloads", "_sequence")

    def __init__(self, last_rid: int, sequence: int) -> None:
        """Number new records from `last_rid` on; `sequence` is the number of the commit."""
        self._last_rid = last_rid
        self._sequence = sequence
        self._leaves: list[Sequence[SqlValue]] = []
        self._payloads: list[Sequence[SqlValue]] = []
        self._new_payloads: list[Sequence[SqlValue]] = []
        self._counts: dict[tuple[int, int], list[int]] = {}

    def add(
        self, place: LeafPlace, prepared: PreparedRecord, before: HeldLeaf | None, lineage: bytes | None
    ) -> int:
        """Take in a record, which takes the place of `before`; gives its number."""
        version = prepared.record.version
        count = self._counts.setdefault(place[:2], [0, 0, 0])
        count[1 if version.delete_time else 0] += 1
        count[2] += before is None or before.hashed
        record = prepared.record
        beside = record.payload, lineage, prepared.arrival or None, record.built_upon
        if before is None:
            self._last_rid += 1
            rid = self._last_rid
            self._new_payloads.append((rid, *beside))
        else:
            count[1 if before.version.delete_time else 0] -= 1
            rid = before.rid
            self._payloads.append((rid, *beside, *before.version[:2]))
        self._leaves.append((*place, *version, rid, self._sequence))
        return rid

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all that was taken in."""
        execute_rows(connection, _LEAF_SQL, self._leaves)
        execute_rows(connection, _PAYLOAD_SQL, self._payloads)
        execute_rows(connection, _NEW_PAYLOAD_SQL, self._new_payloads, filler=(None,) * 5)
        counts = self._counts.items()
        count_slots(connection, [(*slot, count[0], count[1], count[2]) for slot, count in counts])


def count_slots(connection: sqlite3.Connection, slots: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Add to the counters of slots: rows of sid, slot, records, tombstones, leaves without a digest."""
    # The statement adds to the counters, so the row that fills it up must add nothing.
    execute_rows(connection, _SLOT_SQL, slots, filler=(*slots[-1][:2], 0, 0, 0))


def payloads_of(connection: sqlite3.Connection, rids: Sequence[int]) -> dict[int, bytes]:
    """The payloads with these numbers."""
    found: dict[int, bytes] = {}
    for part in statement_rows(rids):
        found.update(connection.execute(_payloads_sql(len(part)), part).fetchall())
    return found


@cache
def _payloads_sql(count: int) -> str:
    return f"SELECT rid, bytes FROM payload WHERE rid IN ({','.join('?' * count)})"


_LEAF_SQL = RowsSql(
    "INSERT INTO leaf (sid, slot, entity, mod_revision, delete_time, digest, rid, seq) VALUES ",
    "(?,?,?,?,?,?,?,?)",
    " ON CONFLICT DO UPDATE SET mod_revision = excluded.mod_revision, delete_time = excluded.delete_time,"
    " digest = excluded.digest, sha = NULL, seq = excluded.seq",
)
_PAYLOAD_SQL = RowsSql(
    "INSERT INTO payload (rid, bytes, lineage, arrival, built_upon, replaced_revision, replaced_delete)"
    " VALUES ",
    "(?,?,?,?,?,?,?)",
    " ON CONFLICT DO UPDATE SET bytes = excluded.bytes, lineage = coalesce(excluded.lineage, lineage),"
    " arrival = excluded.arrival, built_upon = excluded.built_upon,"
    " replaced_revision = excluded.replaced_revision, replaced_delete = excluded.replaced_delete",
)
# A number that is in use already is an error: the row is that of another record. The rows that only fill the
# statement up have no number.
_NEW_PAYLOAD_SQL = RowsSql(
    "WITH new(rid, bytes, lineage, arrival, built_upon) AS (VALUES ",
    "(?,?,?,?,?)",
    ") INSERT INTO payload (rid, bytes, lineage, arrival, built_upon)"
    " SELECT rid, bytes, lineage, arrival, built_upon FROM new WHERE rid IS NOT NULL",
)
_SLOT_SQL = RowsSql(
    "INSERT INTO slot (sid, slot, generation, records, tombstones, unhashed) VALUES ",
    "(?,?,1,?,?,?)",
    " ON CONFLICT DO UPDATE SET generation = generation + 1, records = records + excluded.records,"
    " tombstones = tombstones + excluded.tombstones, unhashed = unhashed + excluded.unhashed, sha = NULL",
)
