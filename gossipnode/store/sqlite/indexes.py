"""The tag indexes of the store: read on the loop, changed through the writer. All SQL is in `index_table`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import structlog
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.index_key import IndexKind
from gossipnode.store.interface import IndexHit, IndexRows, IndexState
from gossipnode.store.prepared import check_index, no_index, too_many_indexes
from gossipnode.store.sqlite.jobs import StepJob
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.tables.damage import is_bytes
from gossipnode.store.sqlite.tables.drop import INDEX_CLEAR_ROWS
from gossipnode.store.sqlite.tables.entity_key import entity_key, is_key, key_entity
from gossipnode.store.sqlite.tables.index_table import (
    RawHit,
    after_key,
    any_index_work,
    ascending_page,
    before_key,
    build_step,
    descending_page,
    find_index,
    give_up_index,
    index_states,
    remove_hit,
    want_index,
)
from gossipnode.store.sqlite.writer import Writer


class Indexes:
    """The methods of `Store` that are about indexes."""

    __slots__ = ("_index_rows", "_log", "_reads", "_writer")

    def __init__(self, writer: Writer, reads: Reads, index_rows: IndexRows) -> None:
        self._writer = writer
        self._reads = reads
        self._index_rows = index_rows
        self._log = structlog.get_logger("gossipnode.store")

    async def want(self, shard: ShardId, tag: str) -> None:
        """See `Store.want_index`."""
        check_index(shard, tag)
        await trio.lowlevel.checkpoint()
        # A node wants its indexes again each time that it starts. Those that are there must cost no commit.
        if tag in self.states(shard):
            return
        if not await self._step(partial(want_index, shard=shard, tag=tag), 1):
            raise too_many_indexes(shard, tag)

    async def drop(self, shard: ShardId, tag: str) -> None:
        """See `Store.drop_index`."""
        await trio.lowlevel.checkpoint()
        if tag not in self.states(shard):
            return
        await self._writer.free(partial(give_up_index, shard=shard, tag=tag), INDEX_CLEAR_ROWS)

    def states(self, shard: ShardId) -> dict[str, IndexState]:
        """See `Store.indexes`."""
        with self._reads.transaction() as connection:
            return index_states(connection, shard)

    async def build(self, limit: int) -> int:
        """See `Store.build_indexes`."""
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            due = any_index_work(connection)
        if not due:
            return 0
        return await self._step(partial(build_step, index_rows=self._index_rows, limit=limit), limit)

    async def find(
        self,
        shard: ShardId,
        tag: str,
        kind: IndexKind,
        low: bytes,
        high: bytes,
        *,
        after: IndexHit | None,
        descending: bool,
        limit: int,
    ) -> list[IndexHit]:
        """See `Store.find`."""
        await trio.lowlevel.checkpoint()
        while True:
            with self._reads.transaction() as connection:
                index = find_index(connection, shard, tag)
                if index is None or not index[1]:
                    raise no_index(shard, tag, building=index is not None)
                page = _find_page(connection, index[0], int(kind), low, high, after, descending, limit)
            rotten = next((hit for hit in page if not is_key(hit[1])), None)
            if rotten is None and _in_order(page, after, descending=descending):
                return [IndexHit(key, key_entity(entity)) for key, entity in page]
            # It leads to no record. The row that the record itself had is there again once it is written.
            remove = partial(remove_hit, iid=index[0], kind=int(kind), hit=rotten) if rotten else None
            if remove is None or not await self._writer.spare(remove):
                # Rows out of order would be read for ever. The index is made again when it is wanted.
                self._log.error("a damaged index is given up", shard=str(shard), tag=tag[:80])
                await self.drop(shard, tag)

    async def _step(self, run: Callable[[sqlite3.Connection], int], records: int) -> int:
        job = StepJob(run, records)
        await self._writer.do(job)
        assert 0 <= job.result <= records, "a step did more than it counted for in the writer's queue"
        return job.result


def _in_order(page: Sequence[RawHit], after: IndexHit | None, *, descending: bool) -> bool:
    """Whether the rows come in the order of the index, and after the row `after`."""
    begin = [(after.key, entity_key(after.entity))] if after else []
    for one, two in pairwise((*begin, *page)):
        if not is_bytes(two[0]):
            return False
        # With `descending`, keys descend, but the entities of one key still ascend.
        forward = one[0] > two[0] if descending and one[0] != two[0] else one < two
        if not forward:
            return False
    return True


def _find_page(
    connection: sqlite3.Connection,
    iid: int,
    kind: int,
    low: bytes,
    high: bytes,
    after: IndexHit | None,
    descending: bool,
    limit: int,
) -> list[RawHit]:
    """A page of `find`. The row `after` may be anywhere, even outside the range of `low` to `high`."""
    begin = (after.key, entity_key(after.entity)) if after else None
    if not descending:
        return ascending_page(connection, iid, kind, max(before_key(low), begin or (b"", b"")), high, limit)
    if begin is None or begin[0] > high:
        return descending_page(connection, iid, kind, low, after_key(high), limit)
    # The entities of a key ascend in both directions: first those of the key of `after`, then smaller keys.
    page = ascending_page(connection, iid, kind, begin, begin[0], limit) if begin[0] >= low else []
    rest = limit - len(page)
    assert rest >= 0, "SQLite takes a negative limit for no limit"
    return page + descending_page(connection, iid, kind, low, before_key(begin[0]), rest)
