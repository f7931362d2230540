"""The figures of the SQLite store: its commits, and what each shard holds, by the counters of its slots."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.tables.rows import group_text
from gossipnode.store.sqlite.writer import Writer
from gossipnode.store.store_figures import CommitFigures, HeldCounts

COUNTS_PAGE_SHARDS = 64
"""Shards that are counted before other tasks get their turn. It takes half a millisecond."""

_PAGE = (
    "SELECT shard.sid, grp, number, incarnation, TOTAL(records), TOTAL(tombstones)"
    " FROM (SELECT * FROM shard WHERE sid > ? ORDER BY sid LIMIT ?) AS shard LEFT JOIN slot USING (sid)"
    " GROUP BY shard.sid ORDER BY shard.sid"
)


class SqliteFigures:
    """Implements `StoreFigures`."""

    def __init__(self, writer: Writer, reads: Reads) -> None:
        """Of what `writer` commits, and what `reads` find."""
        self._writer = writer
        self._reads = reads

    @property
    def commits(self) -> CommitFigures:
        """See `StoreFigures.commits`."""
        return self._writer.figures

    async def counts(self) -> Mapping[ShardId, HeldCounts]:
        """See `StoreFigures.counts`."""
        counts: dict[ShardId, HeldCounts] = {}
        after: int | None = 0
        while after is not None:
            await trio.lowlevel.checkpoint()
            after = self._reads.statement(partial(_page, after, counts))
        return counts


def _page(after: int, counts: dict[ShardId, HeldCounts], connection: sqlite3.Connection) -> int | None:
    """Add some shards to `counts`; gives the number of the last one, None at the end."""
    rows = connection.execute(_PAGE, (after, COUNTS_PAGE_SHARDS)).fetchall()
    for _, group, number, incarnation, records, tombstones in rows:
        counts[ShardId(group_text(group), number, incarnation)] = HeldCounts(int(records), int(tombstones))
    return rows[-1][0] if len(rows) == COUNTS_PAGE_SHARDS else None
