"""Moving shards when members come and go: filling new replicas, settling, and giving up old copies.

1. A replica that is new to a shard fills itself by sessions with enough of those that hold it. They refuse
   requests of the older view from the moment they know the newer one, so that no acknowledged write can be
   missed (`Placement.sources_needed`).
2. When every new replica says that it is filled, one member writes down that the members are settled. Until
   then every read and write needs enough replicas of both placements.
3. A member that holds a shard no more hands its copy to each replica, and only then drops it.

Each step is repeated until it has succeeded, also after a restart: what was done is found in the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
import trio

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.registry_records import SETTLED_ENTITY, settled_tags
from gossipnode.core.cluster.view import ClusterView, Fate
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.local.shards import Shards
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members, Peer, Progress
from gossipnode.node.repair.ring_peers import RingPeers
from gossipnode.node.search.feeds import SCAN_PAGE_RECORDS
from gossipnode.store.interface import StoreError

HAND_OFF_PAUSE_SECONDS = 1.0
HAND_OFF_SHARDS_AT_ONCE = 2
"""How often a hand-off is tried again, and how many shards of it fill at the same time."""

FILLED_NOTE = "filled"
"""The store's note of what is filled: the id of the view, then a line for each shard."""

Rehome = Callable[[Sequence[Record]], Awaitable[bool]]
"""Writes records, versions as they are, to the group as it is now; whether enough replicas took them all."""


class HandOff:
    """Moves this node's part of the shards."""

    def __init__(
        self,
        shards: Shards,
        members: Members,
        peers: RingPeers,
        sync: RegistrySync,
        rehome: Rehome,
    ) -> None:
        """Use sessions of `peers`; `rehome` is for records of a definition of a group that lost."""
        self._shards = shards
        self._members = members
        self._peers = peers
        self._sync = sync
        self._rehome = rehome
        self._filled_view = b""
        self._filled: set[ShardId] = set()
        self._counts: dict[tuple[str, int], int] = {}
        self._handed_over = trio.Event()
        self._log = structlog.get_logger("gossipnode.hand_off")

    # What others are told

    def progress(self) -> Progress:
        """How far this node is."""
        view = self._shards.view
        whole = not any(self._to_fill(view))
        return Progress(view.view_id if whole else b"", dict(self._counts))

    def moved(self, shard: ShardId) -> tuple[int, int]:
        """How many records the new replicas of a shard have, of how many, as far as is known."""
        placement = self._shards.view.placement(shard)
        if placement is None:
            return 0, 0
        key = shard[:2]
        counts = {name: peer.progress.moving.get(key, 0) for name, peer in self._members.peers.items()}
        counts[self._shards.own_name] = self._counts.get(key, 0)
        total = max((counts.get(name, 0) for name in placement.sources), default=0)
        done = sum(min(counts.get(name, 0), total) for name in placement.joining)
        return done, total * len(placement.joining)

    # The work

    async def run(self) -> None:
        """Move what is to be moved, until cancelled."""
        await self._recall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_counting)
            await self._work()

    async def _work(self) -> None:
        while True:
            changed = self._shards.registry.changed
            try:
                at_rest = await self._step()
            except StoreError as error:
                self._log.warning("hand-off interrupted", reason=str(error))
                at_rest = False
            if at_rest:
                await changed.wait()
            else:
                with trio.move_on_after(HAND_OFF_PAUSE_SECONDS):
                    await changed.wait()

    async def _step(self) -> bool:
        """Do what can be done now; whether there is nothing left to do until the registry changes."""
        view = self._shards.view
        async with trio.open_nursery() as nursery:
            limit = trio.CapacityLimiter(HAND_OFF_SHARDS_AT_ONCE)
            for placement in self._to_fill(view):
                nursery.start_soon(self._fill_in_turn, limit, placement)
        if self._shards.view is not view:
            return False
        await self._settle(view)
        held = self._shards.store.shards()
        leftovers = [shard for shard in held if self._shards.view.gives_up(shard, self._shards.own_name)]
        for shard in leftovers:
            await self._give_up(shard)
        if self._shards.own_name in view.forgotten and view.is_settled and not leftovers:
            self._handed_over.set()
        return self._shards.view.is_settled and not leftovers

    async def handed_over(self) -> None:
        """Wait until a node that was forgotten holds nothing any more that others may lack."""
        await self._handed_over.wait()

    async def _keep_counting(self) -> None:
        """Count the records of every shard under way, for those who look on."""
        while True:
            changed = self._shards.registry.changed
            view = self._shards.view
            with contextlib.suppress(StoreError):
                await self._count(view)
            if view.is_settled:
                await changed.wait()
            else:
                await trio.sleep(HAND_OFF_PAUSE_SECONDS)

    async def _count(self, view: ClusterView) -> None:
        counts: dict[tuple[str, int], int] = {}
        if not view.is_settled:
            for shard in self._shards:
                placement = view.placement(shard)
                if placement is not None and placement.joining:
                    held = await self._shards.store.counts(shard)
                    counts[shard[:2]] = held.records + held.tombstones
        self._counts = counts

    # 1. Fill

    def _to_fill(self, view: ClusterView) -> Iterable[Placement]:
        """The placements of which this node is a new replica, and not filled."""
        if view.is_settled:
            return
        filled = self._filled if self._filled_view == view.view_id else set[ShardId]()
        for shard in view.shards():
            placement = view.placement(shard)
            if placement and self._shards.own_name in placement.joining and shard not in filled:
                yield placement

    async def _fill_in_turn(self, limit: trio.CapacityLimiter, placement: Placement) -> None:
        async with limit:
            await self._fill(placement)

    async def _fill(self, placement: Placement) -> None:
        """Compare with all that have the shard; it is filled once enough of them have."""
        view = self._shards.view
        done = 0
        for name in placement.sources:
            peer = self._members.peers.get(name)
            if peer is None or peer.foreign:
                continue
            hop = await self._session(peer, placement)
            done += _complete(hop)
            if not _complete(hop):
                self._log.info(
                    "shard not filled from a member yet",
                    shard=str(placement.shard),
                    peer=name,
                    reason=hop.reason,
                )
        if done >= placement.sources_needed and self._shards.view is view:
            await self._remember(view, placement.shard)
            self._log.info("shard filled", shard=str(placement.shard), sources=done)

    async def _session(self, peer: Peer, placement: Placement, *, leaving: bool = False) -> Hop:
        metadata = {**self._members.metadata, call_metadata.FENCE: placement.fence.hex()}
        return await self._peers.session(peer, placement.shard, metadata, leaving=leaving)

    async def _remember(self, view: ClusterView, shard: ShardId) -> None:
        if self._filled_view != view.view_id:
            self._filled_view = view.view_id
            self._filled = set()
        self._filled.add(shard)
        lines = [view.view_id.hex(), *(repr(tuple(each)) for each in sorted(self._filled))]
        await self._shards.store.keep_note(FILLED_NOTE, "\n".join(lines).encode())

    async def _recall(self) -> None:
        note = await self._shards.store.note(FILLED_NOTE)
        if note is None:
            return
        view_id, *lines = note.decode().split("\n")
        known = {repr(tuple(shard)): shard for shard in self._shards.view.shards()}
        self._filled_view = bytes.fromhex(view_id)
        self._filled = {known[line] for line in lines if line in known}

    # 2. Settle

    async def _settle(self, view: ClusterView) -> None:
        """Write down that all is where it belongs, if it is, and if that is ours to do."""
        if view.is_settled or any(self._to_fill(view)):
            return
        if not all(self._says_filled(view, name) for name in view.joining):
            return
        own = self._shards.own_name
        up = [name for name, peer in self._members.peers.items() if peer.state == "up" and not peer.foreign]
        if own not in view.members or own != min([own, *up]):
            return
        record = await self._sync.put(SETTLED_ENTITY, settled_tags(view.joined))
        await self._sync.spread(record)
        self._log.info("members settled", members=list(view.members))

    def _says_filled(self, view: ClusterView, name: str) -> bool:
        if name == self._shards.own_name:
            return True
        peer = self._members.peers.get(name)
        return peer is not None and peer.progress.filled_view == view.view_id

    # 3. Give up

    async def _give_up(self, shard: ShardId) -> None:
        """Hand a copy over, and drop it; nothing is dropped that somebody else may lack."""
        view = self._shards.view
        fate = view.fate(shard)
        if fate is Fate.DROP:
            done = True
        elif fate is Fate.MERGE:
            done = await self._move_to_winner(shard)
        else:
            done = await self._push(shard)
        if done and self._shards.view is view:
            await self._shards.store.drop(shard)
            self._log.info("shard given up", shard=str(shard), incarnation=shard.incarnation, why=fate.value)

    async def _push(self, shard: ShardId) -> bool:
        placement = self._shards.view.placement(shard)
        if placement is None:
            return False
        for name in placement.coming:
            peer = self._members.peers.get(name)
            if peer is None or not _complete(await self._session(peer, placement, leaving=True)):
                return False
        return bool(placement.coming)

    async def _move_to_winner(self, shard: ShardId) -> bool:
        after = None
        while page := await self._shards.store.scan(shard, after=after, limit=SCAN_PAGE_RECORDS):
            after = page[-1].entity
            if not await self._rehome(page):
                return False
        return True


def _complete(hop: Hop) -> bool:
    """Whether a session left nothing out."""
    return hop.end in (HopEnd.EQUAL, HopEnd.REPAIRED) and not hop.skipped
