"""Which shards this node has filled, and how far it is with the other ones.

A shard is filled under a fence: another change of its replicas has to be filled again. It stands in this
room, below the tasks that fill shards, because every hello tells it to other members.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import trio

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.store.interface import Store, StoreError

FILLED_NOTE = "filled"
"""The store's note of what is filled: a line for each shard, with the fence under which it is."""

COUNT_PAUSE_SECONDS = 1.0
"""How often the records of the shards that are being filled are counted."""

FILLED_TOLD_MAX = 1024
"""Filled shards that a hello tells of. They settle, and then the next ones are told."""


@dataclass(frozen=True, slots=True)
class FillProgress:
    """What a node says of itself: how far it is with the shards that it is to hold."""

    filled: Mapping[ShardId, bytes] = field(default_factory=dict[ShardId, bytes])
    """Shards that it has filled and that are not settled yet, with the fences under which it did."""
    moving: Mapping[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """Records, tombstones included, that it has of each shard (group, number) that is being moved."""


class FillState:
    """Remembers what is filled, also over a restart. Call `recall` before its first use."""

    def __init__(self, shards: ShardMap, store: Store) -> None:
        """Nothing is known to be filled yet."""
        self._shards = shards
        self._store = store
        self._filled: dict[ShardId, bytes] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def unfilled(self, view: ClusterView) -> Iterable[Placement]:
        """The placements in which this node has to copy from sources, and has not yet."""
        return (placement for placement in self._to_fill(view) if not self.is_filled(placement))

    def _to_fill(self, view: ClusterView) -> Iterable[Placement]:
        """The placements in which this node has to copy from sources."""
        if not view.counts(self._shards.own) or not self._shards.cleared:
            return ()
        return (placement for placement in view.unsettled() if self._shards.own_name in placement.filling)

    def is_filled(self, placement: Placement) -> bool:
        """Whether this node has filled a shard for just this placement."""
        return self._filled.get(placement.shard) == placement.fence

    def progress(self) -> FillProgress:
        """How far this node is, as it tells other members."""
        told = (
            (placement.shard, placement.fence)
            for placement in self._to_fill(self._shards.view)
            if self.is_filled(placement)
        )
        return FillProgress(dict(islice(told, FILLED_TOLD_MAX)), dict(self._counts))

    def count(self, shard: ShardId) -> int:
        """How many records this node had of a shard that is being moved when they were last counted."""
        return self._counts.get(shard[:2], 0)

    async def remember(self, placement: Placement) -> None:
        """Keep a note that a shard is filled.

        Raises:
            StoreError: the note was not kept.
        """
        assert self._shards.own_name in placement.filling, placement
        view = self._shards.view
        filled = {
            shard: fence
            for shard, fence in self._filled.items()
            if (known := view.placement(shard)) is not None and known.fence == fence
        }
        self._filled = {**filled, placement.shard: placement.fence}
        lines = [f"{fence.hex()} {tuple(shard)!r}" for shard, fence in sorted(self._filled.items())]
        await self._store.keep_note(FILLED_NOTE, "\n".join(lines).encode())

    async def recall(self) -> None:
        """Read the note that was kept before a restart. From one that has rotted nothing follows."""
        note = await self._store.note(FILLED_NOTE)
        if note is None:
            return
        known = {repr(tuple(shard)): shard for shard in self._shards.view.shards()}
        with contextlib.suppress(ValueError):
            for line in note.decode().split("\n"):
                fence, _, shard = line.partition(" ")
                if shard in known:
                    self._filled[known[shard]] = bytes.fromhex(fence)

    async def keep_counting(self) -> None:
        """Count the records of every shard that is being moved, until cancelled."""
        while True:
            changed = self._shards.changed.pending
            view = self._shards.view
            with contextlib.suppress(StoreError):
                self._counts = await self._counted(view)
            if view.is_settled:
                await changed.wait()
            else:
                await trio.sleep(COUNT_PAUSE_SECONDS)

    async def _counted(self, view: ClusterView) -> dict[tuple[str, int], int]:
        counts: dict[tuple[str, int], int] = {}
        for placement in view.unsettled():
            if placement.filling and self._shards.own_name in placement.holders:
                held = await self._store.counts(placement.shard)
                counts[placement.shard[:2]] = held.records + held.tombstones
        return counts
