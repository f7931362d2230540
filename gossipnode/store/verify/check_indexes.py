"""The check of the tag indexes: each record must have its rows, and each row must belong to a record."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from gossipnode.core.model.property import ShardId
from gossipnode.store.interface import IndexRows
from gossipnode.store.sqlite.tables.index_table import TagRow, rows_of, tag_text


@dataclass(slots=True)
class _CheckedIndex:
    iid: int
    tag: str
    reached: tuple[int, bytes] | None
    """(slot, key) of the last leaf that building has taken in; None once all are."""
    found: int = 0
    """Rows found that belong to a record."""


@dataclass(slots=True)
class ShardIndexes:
    """The indexes of one shard at a time, checked record by record: `begin`, `record` for each, `end`."""

    connection: sqlite3.Connection
    index_rows: IndexRows
    indexes: list[_CheckedIndex] = field(default_factory=list[_CheckedIndex])

    def begin(self, sid: int) -> None:
        """Begin with the shard of this number."""
        rows = self.connection.execute("SELECT iid, tag, slot, entity FROM tag_index WHERE sid = ?", (sid,))
        self.indexes = [
            _CheckedIndex(iid, tag_text(tag), None if slot is None else (slot, key))
            for iid, tag, slot, key in rows.fetchall()
        ]

    def record(self, slot: int, key: bytes, payload: bytes) -> Iterator[str]:
        """Check a live record, of which `key` is the entity's key; yields what is wrong."""
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
        """To be called after the last live record; yields what is wrong with rows of no record."""
        for index in self.indexes:
            (count,) = self.connection.execute(
                "SELECT count(*) FROM tag_row WHERE iid = ?", (index.iid,)
            ).fetchone()
            if count != index.found:
                yield f"{shard}: {count - index.found} rows too many in the index of tag {index.tag!r}"

    def _is_there(self, row: TagRow) -> bool:
        sql = "SELECT 1 FROM tag_row WHERE iid = ? AND kind = ? AND key = ? AND entity = ?"
        return self.connection.execute(sql, row).fetchone() is not None
