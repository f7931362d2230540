"""Which shards this node has filled, and how far it is with the other ones.

A shard is filled under a fence: another change of its replicas has to be filled again. It stands in this
room, below the tasks that fill shards, because every hello tells it to other members.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

import trio

from gossipnode.concurrency.loop_steps import LoopSteps
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
        self._told: dict[ShardId, bytes] = {}
        self._told_of: tuple[ClusterView, Mapping[ShardId, bytes]] | None = None
        """The view, and what was filled, when `_told` was found."""
        self._lines: dict[ShardId, str] = {}
        """The lines of the note."""
        self._pruned_in: ClusterView | None = None
        """The view in which what is filled no more was last left out of the note."""

    async def unfilled(self, view: ClusterView) -> list[Placement]:
        """The placements in which this node has to copy from sources, and has not yet."""
        unfilled: list[Placement] = []
        if view.counts(self._shards.own) and self._shards.cleared:
            loop = LoopSteps()
            for placement in view.unsettled():
                if self._shards.own_name in placement.filling and not self.is_filled(placement):
                    unfilled.append(placement)
                await loop.step()
        return unfilled

    def is_filled(self, placement: Placement) -> bool:
        """Whether this node has filled a shard for just this placement."""
        return self._filled.get(placement.shard) == placement.fence

    def progress(self) -> FillProgress:
        """How far this node is, as it tells other members.

        Every hello asks for it, so it is computed only after a change.
        """
        view = self._shards.view
        if not self._shards.cleared:
            return FillProgress({}, dict(self._counts))
        if self._told_of != (view, self._filled):
            told = (shard for shard in sorted(self._filled) if self._has_filled(view, shard))
            self._told = {shard: self._filled[shard] for shard in islice(told, FILLED_TOLD_MAX)}
            self._told_of = (view, self._filled)
        return FillProgress(self._told, dict(self._counts))

    def _has_filled(self, view: ClusterView, shard: ShardId) -> bool:
        """Whether this node is to fill a shard by a view, and has."""
        placement = view.placement(shard)
        if placement is None or not view.counts(self._shards.own):
            return False
        return self._shards.own_name in placement.filling and self.is_filled(placement)

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
        filled = self._filled
        if view is not self._pruned_in:
            # What was filled under another fence has to be filled again.
            filled = {
                shard: fence
                for shard, fence in filled.items()
                if (known := view.placement(shard)) is not None and known.fence == fence
            }
            self._lines = {shard: self._lines.get(shard) or _line(shard, filled[shard]) for shard in filled}
            self._pruned_in = view
        self._filled = {**filled, placement.shard: placement.fence}
        self._lines[placement.shard] = _line(placement.shard, placement.fence)
        await self._store.keep_note(FILLED_NOTE, "\n".join(self._lines.values()).encode())

    async def recall(self) -> None:
        """Read the note that was kept before a restart. From one that has rotted nothing follows."""
        note = await self._store.note(FILLED_NOTE)
        if note is None:
            return
        fences: dict[str, str] = {}
        with contextlib.suppress(UnicodeDecodeError):
            for line in note.decode().split("\n"):
                fence, _, key = line.partition(" ")
                fences[key] = fence
        filled: dict[ShardId, bytes] = {}
        loop = LoopSteps()
        for shard in self._shards.view.shards():
            fence = fences.get(repr(tuple(shard)), "")
            with contextlib.suppress(ValueError):
                if fence:
                    filled[shard] = bytes.fromhex(fence)
            await loop.step()
        self._filled = filled

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
        loop = LoopSteps()
        for placement in view.unsettled():
            await loop.step()
            if placement.filling and self._shards.own_name in placement.holders:
                held = await self._store.counts(placement.shard)
                counts[placement.shard[:2]] = held.records + held.tombstones
        return counts


def _line(shard: ShardId, fence: bytes) -> str:
    return f"{fence.hex()} {tuple(shard)!r}"
