"""Keeps tag indexes: those that a group declares, and those that a query could have used.

They are built in the background, a few records at a time. Until an index is ready, a scan answers in its
place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.model.property import ShardId
from gossipnode.core.query.lookup import wanted_indexes
from gossipnode.core.query.search import Search
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.local.told_states import ToldStates
from gossipnode.store.interface import IndexRefusedError, Store, StoreClosedError, StoreError

INDEX_BUILD_RECORDS = 64
INDEX_BUILD_PAUSE_SECONDS = 0.005
"""Records taken into new indexes in one step, and the pause after it, in which other tasks write."""

INDEX_RETRY_SECONDS = 30.0
"""The pause after the store has failed to build."""

INDEX_TAGS_PER_SEARCH = 4
"""Tags of one search that may get an index. Each index makes every write cost more."""

INDEXES_WANTED_MAX = 65_536
"""Indexes that may wait to be made. An index is of one tag of one shard."""

INDEXES_REFUSED_MAX = 4096
"""Refused indexes that are remembered, so that not every query asks for them again. The oldest go first."""


class IndexKeeper:
    """Makes, builds and drops the indexes of a store."""

    def __init__(self, shards: ShardMap, store: Store) -> None:
        """Keep the indexes of `store` for the shards that this node holds."""
        self._shards = shards
        self._store = store
        self._wanted: dict[tuple[ShardId, str], None] = {}
        self._refused: dict[tuple[ShardId, str], None] = {}
        self._given_up: dict[tuple[ShardId, str], None] = {}
        """Indexes that their groups declare no longer."""
        self._work = ChangeEvent()
        """Tells that there is something to make or to build."""
        self._log = structlog.get_logger("gossipnode.index")
        self._told = ToldStates(self._log)

    def asked(self, search: Search) -> None:
        """Note a search: have the indexes made that would help the next one like it."""
        tags = sorted(wanted_indexes(search))[:INDEX_TAGS_PER_SEARCH]
        if tags:
            self._want((shard, tag) for shard in search.shards for tag in tags)

    def _want(self, wanted: Iterable[tuple[ShardId, str]]) -> None:
        for shard, tag in wanted:
            if (
                len(self._wanted) < INDEXES_WANTED_MAX
                and (shard, tag) not in self._refused
                and self._shards.holds(shard)
                and tag not in self._store.indexes(shard)
            ):
                self._wanted[shard, tag] = None
                self._work.notify()

    async def run(self) -> None:
        """Make and build indexes, until cancelled or the store closes."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_groups)
            while True:
                work = self._work.pending
                try:
                    await self._drop()
                    await self._make()
                    await self._build()
                except StoreClosedError:
                    nursery.cancel_scope.cancel()
                    return
                except StoreError as error:
                    # Most likely the disk is full. Until there is room, scans answer.
                    self._told.tell("build", "index not built", reason=str(error), level=logging.WARNING)
                    await trio.sleep(INDEX_RETRY_SECONDS)
                    continue
                self._told.is_over("build")
                await work.wait()

    async def _build(self) -> None:
        built = 1
        while built:
            built = await self._store.build_indexes(limit=INDEX_BUILD_RECORDS)
            with trio.move_on_after(INDEX_BUILD_PAUSE_SECONDS if built else 0):
                await trio.sleep_forever()

    async def _drop(self) -> None:
        while self._given_up:
            shard, tag = next(iter(self._given_up))
            await self._store.drop_index(shard, tag)
            self._given_up.pop((shard, tag), None)

    async def _make(self) -> None:
        while self._wanted:
            shard, tag = next(iter(self._wanted))
            try:
                if self._shards.holds(shard):
                    await self._store.want_index(shard, tag)
            except IndexRefusedError as error:
                self._refused[shard, tag] = None
                if len(self._refused) > INDEXES_REFUSED_MAX:
                    del self._refused[next(iter(self._refused))]
                self._log.info("index not made", shard=str(shard), tag=tag[:80], reason=str(error))
            self._wanted.pop((shard, tag), None)

    async def _follow_groups(self) -> None:
        """Want the indexes that groups declare, on every shard held here; drop those they declare no longer.

        An index that only a query asked for was never declared, so it stays.
        """
        declared: dict[ShardId, frozenset[str]] = {}
        while True:
            changed = self._shards.changed.pending
            tags_of = {name: frozenset(group.indexes) for name, group in self._shards.view.groups.items()}
            declaring = {name for name, tags in tags_of.items() if tags}
            # Most groups declare nothing, and then need not be looked at.
            held = await self._shards.held(declaring | {shard.group for shard in declared})
            loop = LoopSteps()
            for shard in held:
                tags = tags_of[shard.group]
                for tag in sorted(declared.get(shard, frozenset()) - tags):
                    self._wanted.pop((shard, tag), None)
                    self._given_up[shard, tag] = None
                for tag in tags:
                    self._given_up.pop((shard, tag), None)
                self._want((shard, tag) for tag in sorted(tags))
                await loop.step()
            declared = {shard: tags_of[shard.group] for shard in held if tags_of[shard.group]}
            self._work.notify()
            await changed.wait()
