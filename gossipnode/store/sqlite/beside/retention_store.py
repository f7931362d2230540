"""The marks of shards, and the removal of what is purged: the writer's thread does it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.store.interface import StoreFullError
from gossipnode.store.retention import REMOVED_AT_ONCE_MAX, HeldVersion
from gossipnode.store.sqlite.jobs import MarksJob, RemoveJob
from gossipnode.store.sqlite.mending import Mending
from gossipnode.store.sqlite.open_state import OpenState
from gossipnode.store.sqlite.reads import Reads
from gossipnode.store.sqlite.sqlite_errors import StoreBusyError
from gossipnode.store.sqlite.tables.drop import RETURN_STEP_PAGES, return_pages
from gossipnode.store.sqlite.tables.retention_rows import old_tombstones
from gossipnode.store.sqlite.writer import Writer


class SqliteRetention:
    """Implements `Retention`."""

    __slots__ = ("_mending", "_reads", "_state", "_writer")

    def __init__(self, writer: Writer, reads: Reads, mending: Mending, state: OpenState) -> None:
        self._writer = writer
        self._mending = mending
        self._reads = reads
        self._state = state

    def marks(self, shard: ShardId) -> Marks:
        """See `Retention.marks`."""
        return self._writer.marks.get(shard, NO_MARKS)

    def all_marks(self) -> Mapping[ShardId, Marks]:
        """See `Retention.all_marks`."""
        return self._writer.marks

    async def keep(self, shard: ShardId, marks: Marks) -> None:
        """See `Retention.keep`."""
        self._state.check_open()
        if marks.joined(self.marks(shard)) != self.marks(shard):
            await self._writer.do(MarksJob(shard, marks))

    async def forget(self, shard: ShardId) -> None:
        """Forget the marks of a shard that is to be dropped."""
        if shard in self._writer.marks:
            await self._writer.do(MarksJob(shard, None))

    async def tombstones(self, shard: ShardId, up_to: int, *, limit: int) -> list[HeldVersion]:
        """See `Retention.tombstones`."""
        return await self._mending.read(partial(self._tombstones, shard, up_to, limit))

    async def _tombstones(self, shard: ShardId, up_to: int, limit: int) -> list[HeldVersion]:
        await trio.lowlevel.checkpoint()
        with self._reads.transaction() as connection:
            return old_tombstones(connection, shard, up_to, limit)

    async def remove(self, shard: ShardId, versions: Sequence[HeldVersion]) -> int:
        """See `Retention.remove`."""
        assert len(versions) <= REMOVED_AT_ONCE_MAX
        self._state.check_open()
        job = RemoveJob(shard, versions)
        await self._writer.do(job)
        return len(job.removed)

    async def give_space_back(self) -> None:
        """See `Retention.give_space_back`."""
        with contextlib.suppress(StoreFullError, StoreBusyError):
            await self._writer.free(return_pages, RETURN_STEP_PAGES)
