"""Removing a shard, a bounded part in each transaction.

After each part, the digests and counters of what is left are right. A crash may therefore come between any
two.
"""

from __future__ import annotations

import sqlite3

from gossipnode.core.model.property import ShardId
from gossipnode.store.sqlite.tables.damage import DamageError
from gossipnode.store.sqlite.tables.index_table import clear_given_up
from gossipnode.store.sqlite.tables.rows import find_shard

INDEX_CLEAR_ROWS = 1024
"""Index rows that one step removes."""

INDEX_ROWS_PER_RECORD = 4
"""Index rows that are removed in the time of one record."""

RETURN_STEP_PAGES = 1024
"""Free pages that one step gives back to the disk."""

DROP_STEP_RECORDS = 256
DROP_STEP_BYTES = 8 << 20
"""Records, and bytes of payload, that one step removes. Other writes get their turn between two steps."""


def drop_step(connection: sqlite3.Connection, *, shard: ShardId, limit: int) -> int:
    """Remove up to `limit` records of a shard; returns 0 when nothing of it is left, else 1.

    Its indexes go first, `INDEX_ROWS_PER_RECORD` rows for each record that might be removed.
    """
    assert connection.in_transaction, "a part of a shard goes together with its digests and counters"
    sid = find_shard(connection, shard)
    if sid is None:
        return 0
    connection.execute("UPDATE tag_index SET sid = NULL WHERE sid = ?", (sid,))
    index_rows = min(INDEX_ROWS_PER_RECORD * limit, INDEX_CLEAR_ROWS)
    if clear_given_up(connection, index_rows) or _drop_leaves(connection, sid, limit):
        return 1
    # The shard itself goes last: after a crash it is still listed, so the drop can be continued.
    connection.execute("DELETE FROM set_aside WHERE sid = ?", (sid,))
    connection.execute("DELETE FROM slot WHERE sid = ?", (sid,))
    connection.execute("DELETE FROM shard WHERE sid = ?", (sid,))
    return 0


def return_pages(connection: sqlite3.Connection, limit: int) -> int:
    """Give up to `limit` free pages of the file back to the disk; returns 0 once none is left, else 1.

    A file that an older gossipnode made keeps its pages, for the records that come.
    """
    (before,) = connection.execute("PRAGMA freelist_count").fetchone()
    connection.execute(f"PRAGMA incremental_vacuum({limit})").fetchall()
    (after,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(0 < after < before)


def _drop_leaves(connection: sqlite3.Connection, sid: int, limit: int) -> bool:
    """Remove the first leaves of a shard with their payloads; returns whether there were any."""
    last = connection.execute(_LAST_SQL, (sid, min(limit, DROP_STEP_RECORDS), DROP_STEP_BYTES)).fetchone()
    if last is None:
        return False
    for sql in (_COUNT_SQL, _PAYLOADS_SQL):
        connection.execute(sql, (sid, *last))
    if not connection.execute(_LEAVES_SQL, (sid, *last)).rowcount:
        raise DamageError("records that are found cannot be removed")
    return True


# Finds the last leaf that this step removes. The first leaf always goes, and further ones as long as the
# payloads before them are below the limit of bytes.
_LAST_SQL = (
    "WITH first AS (SELECT slot, entity, rid FROM leaf WHERE sid = ? ORDER BY slot, entity LIMIT ?),"
    " summed AS (SELECT slot, entity, coalesce(sum(length(bytes)) OVER (ORDER BY slot, entity"
    "   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS size_before"
    "   FROM first LEFT JOIN payload USING (rid))"
    " SELECT slot, entity FROM summed WHERE size_before < ? ORDER BY slot DESC, entity DESC LIMIT 1"
)
_FIRST_LEAVES = "FROM leaf WHERE sid = ?1 AND (slot, entity) <= (?2, ?3)"
_COUNT_SQL = (
    "WITH gone(slot, records, tombstones, unhashed) AS"
    " (SELECT slot, sum(delete_time = 0), sum(delete_time <> 0), sum(sha IS NULL)"
    f" {_FIRST_LEAVES} GROUP BY slot)"
    " UPDATE slot SET generation = generation + 1, sha = NULL, records = slot.records - gone.records,"
    " tombstones = slot.tombstones - gone.tombstones, unhashed = slot.unhashed - gone.unhashed"
    " FROM gone WHERE slot.sid = ?1 AND slot.slot = gone.slot"
)
_PAYLOADS_SQL = f"DELETE FROM payload WHERE rid IN (SELECT rid {_FIRST_LEAVES})"
_LEAVES_SQL = f"DELETE {_FIRST_LEAVES}"
