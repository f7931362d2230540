"""What is kept beside records: read on the loop, and written by the writer's thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.request_lineage import LineagePage
from gossipnode.store.sqlite.jobs import StepJob
from gossipnode.store.sqlite.mending import Mending
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.tables.lineage_rows import change_lineages, lineage_of, lineage_page
from gossipnode.store.sqlite.writer import Writer


class SqliteLineages:
    """Implements `Lineages`."""

    __slots__ = ("_mending", "_reads", "_state", "_writer")

    def __init__(self, writer: Writer, reads: Reads, mending: Mending, state: OpenState) -> None:
        self._writer = writer
        self._mending = mending
        self._reads = reads
        self._state = state

    async def of(self, shard: ShardId, entity: Entity) -> bytes:
        """See `Lineages.of`."""
        await trio.lowlevel.checkpoint()
        return self._reads.statement(partial(lineage_of, shard=shard, entity=entity))

    async def page(self, shard: ShardId, *, after: Entity | None, since: int) -> LineagePage:
        """See `Lineages.page`."""
        return await self._mending.read(partial(self._page, shard, after, since))

    async def _page(self, shard: ShardId, after: Entity | None, since: int) -> LineagePage:
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            return lineage_page(connection, shard, after, since)

    async def keep(self, shard: ShardId, changes: Sequence[tuple[Entity, bytes, bytes]]) -> None:
        """See `Lineages.keep`."""
        self._state.check_open()
        if changes:
            step = partial(change_lineages, shard=shard, changes=changes)
            await self._writer.do(StepJob(step, len(changes)))
