"""The check of tag indexes: each row must belong to a record, and each record must have its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from gossipnode.core.model.property import ShardId
from gossipnode.store.interface import IndexRows
from gossipnode.store.sqlite.index_table import Row, rows_of


@dataclass(slots=True)
class _Index:
    iid: int
    tag: str
    reached: tuple[int, bytes] | None
    """(slot, key) of the last leaf that is certainly in it; None when all are."""
    found: int = 0
    """Rows that belong to a record."""


@dataclass(slots=True)
class ShardIndexes:
    """The indexes of one shard, checked record by record."""

    connection: sqlite3.Connection
    index_rows: IndexRows
    indexes: list[_Index] = field(default_factory=list[_Index])

    def begin(self, sid: int) -> None:
        """Go on to a shard."""
        rows = self.connection.execute("SELECT iid, tag, slot, entity FROM tag_index WHERE sid = ?", (sid,))
        self.indexes = [
            _Index(iid, tag.decode(), None if slot is None else (slot, key))
            for iid, tag, slot, key in rows.fetchall()
        ]

    def record(self, slot: int, key: bytes, payload: bytes) -> Iterator[str]:
        """Check a live record, `key` being its entity's; gives what is wrong."""
        if not self.indexes:
            return
        rows = rows_of(self.index_rows, payload, {index.tag: index.iid for index in self.indexes}, key)
        for index in self.indexes:
            wanted = [row for row in rows if row[0] == index.iid]
            found = sum(map(self._is_there, wanted))
            index.found += found
            if found < len(wanted) and (index.reached is None or (slot, key) <= index.reached):
                yield f"{len(wanted) - found} rows missing in the index of tag {index.tag!r}"

    def end(self, shard: ShardId) -> Iterator[str]:
        """What is wrong when all live records of the shard have been checked."""
        for index in self.indexes:
            (count,) = self.connection.execute(
                "SELECT count(*) FROM tag_row WHERE iid = ?", (index.iid,)
            ).fetchone()
            if count != index.found:
                yield f"{shard}: {count - index.found} rows too many in the index of tag {index.tag!r}"

    def _is_there(self, row: Row) -> bool:
        sql = "SELECT 1 FROM tag_row WHERE iid = ? AND kind = ? AND key = ? AND entity = ?"
        return self.connection.execute(sql, row).fetchone() is not None
