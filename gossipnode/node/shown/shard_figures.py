"""The figures of the shards that a node holds, gathered at a bounded cost.

Counts are read from the store only after something was written, and not again before 200 times of what the
reading took has passed: it takes half a percent of a processor at most, however many shards there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio

from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.marks import NO_MARKS
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.repair.repair import Repair
from gossipnode.observe.node_view import ShardFigures
from gossipnode.store.interface import StoreError
from gossipnode.store.store_figures import HeldCounts

REST_FACTOR = 200
"""How many times as long as a reading took the counts stand at the least."""

COUNTS_SECONDS = 1.0
"""How long a reading may take. A store that is slower is told as one that could not be asked."""

SHARDS_OF_A_STEP = 256
"""Shards that are looked at before other tasks get their turn."""

NOTHING_HELD = HeldCounts(0, 0)


class ShardGatherer:
    """Gathers the figures of all shards that are held here."""

    def __init__(self, local: LocalState, repair: Repair) -> None:
        """Of what `local` holds, and what `repair` knows of other replicas."""
        self._local = local
        self._repair = repair
        self._view: ClusterView | None = None
        self._held: Sequence[tuple[ShardId, int]] = ()
        """The shards that are held, each with the number of its replicas."""
        self._counts: Mapping[ShardId, HeldCounts] = {}
        self._counted_at = -1
        """The number of the last commit that the counts are sure to include."""
        self._rests_until = 0.0
        self.current = False
        """Whether the counts were those of now, but for their rest, when they were last asked for."""

    async def gather(self) -> list[ShardFigures]:
        """The figures, in the order of the shards."""
        counts = await self._read_counts()
        view = self._local.cluster.view
        if view is not self._view:
            held = await self._local.shards.held()
            self._held = [(shard, len(self._local.shards.replicas(shard))) for shard in held]
            self._view = view
        behind = self._repair.catch_up.missed_writes.by_shard()
        converged = self._repair.origin.last_converged
        all_marks = self._local.store.retention.all_marks()
        told: list[ShardFigures] = []
        for at in range(0, len(self._held), SHARDS_OF_A_STEP):
            for shard, replicas in self._held[at : at + SHARDS_OF_A_STEP]:
                records, tombstones = counts.get(shard, NOTHING_HELD)
                marks, held_back = all_marks.get(shard, NO_MARKS), self._repair.purges.held_back(shard)
                told.append(
                    ShardFigures(
                        shard.group,
                        shard.shard,
                        records,
                        tombstones,
                        replicas,
                        converged(shard),
                        behind.get(shard, 0),
                        marks.mark,
                        "" if held_back is None else held_back.obstacle,
                    )
                )
            await trio.lowlevel.checkpoint()
        return told

    async def _read_counts(self) -> Mapping[ShardId, HeldCounts]:
        store, began = self._local.store, trio.current_time()
        number = store.commit_number
        self.current = True
        if number == self._counted_at or began < self._rests_until:
            return self._counts
        try:
            with trio.fail_after(COUNTS_SECONDS):
                self._counts = await store.figures.counts()
        except (StoreError, trio.TooSlowError):
            self.current = False
        else:
            self._counted_at = number
        now = trio.current_time()
        self._rests_until = now + REST_FACTOR * (now - began)
        return self._counts
