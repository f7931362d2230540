"""Which shards this node has filled in the present view, and how far it is with the other ones.

It stands in this room, below the tasks that fill shards, because every hello tells it to other members.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import trio

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.store.interface import Store, StoreError

FILLED_NOTE = "filled"
"""The store's note of what is filled: the id of the view, then a line for each shard."""

COUNT_PAUSE_SECONDS = 1.0
"""How often the records of the shards that are being filled are counted."""


@dataclass(frozen=True, slots=True)
class FillProgress:
    """What a node says of itself: how far it is with the shards that it is to hold."""

    filled_view: bytes = b""
    """The view for which it holds all of them; empty while it does not."""
    moving: Mapping[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """Records, tombstones included, that it has of each shard (group, number) that is being moved."""


class FillState:
    """Remembers what is filled, also over a restart. Call `recall` before its first use."""

    def __init__(self, shards: ShardMap, store: Store) -> None:
        """Nothing is known to be filled yet."""
        self._shards = shards
        self._store = store
        self._filled_view = b""
        self._filled: set[ShardId] = set()
        self._counts: dict[tuple[str, int], int] = {}

    def unfilled(self, view: ClusterView) -> Iterable[Placement]:
        """The placements in which this node is a new replica that has not been filled."""
        if view.is_settled:
            return
        filled = self._filled if self._filled_view == view.view_id else set[ShardId]()
        for shard in view.shards():
            placement = view.placement(shard)
            if placement and self._shards.own_name in placement.joining and shard not in filled:
                yield placement

    def progress(self) -> FillProgress:
        """How far this node is, as it tells other members."""
        view = self._shards.view
        whole = not any(self.unfilled(view))
        return FillProgress(view.view_id if whole else b"", dict(self._counts))

    def count(self, shard: ShardId) -> int:
        """How many records this node had of a shard that is being moved when they were last counted."""
        return self._counts.get(shard[:2], 0)

    async def remember(self, view: ClusterView, shard: ShardId) -> None:
        """Keep a note that a shard is filled in a view.

        Raises:
            StoreError: the note was not kept.
        """
        placement = view.placement(shard)
        assert placement is not None, shard
        assert self._shards.own_name in placement.joining, shard
        if self._filled_view != view.view_id:
            self._filled_view = view.view_id
            self._filled = set()
        self._filled.add(shard)
        lines = [view.view_id.hex(), *(repr(tuple(each)) for each in sorted(self._filled))]
        await self._store.keep_note(FILLED_NOTE, "\n".join(lines).encode())

    async def recall(self) -> None:
        """Read the note that was kept before a restart. From one that has rotted nothing follows."""
        note = await self._store.note(FILLED_NOTE)
        if note is None:
            return
        try:
            view_id, *lines = note.decode().split("\n")
            filled_view = bytes.fromhex(view_id)
        except ValueError:
            return
        known = {repr(tuple(shard)): shard for shard in self._shards.view.shards()}
        self._filled_view = filled_view
        self._filled = {known[line] for line in lines if line in known}

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
        if not view.is_settled:
            for shard in self._shards:
                placement = view.placement(shard)
                if placement is not None and placement.joining:
                    held = await self._store.counts(shard)
                    counts[shard[:2]] = held.records + held.tombstones
        return counts
