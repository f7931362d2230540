"""The marks of this node's shards: it seals, meets other replicas, and purges.

What follows from marks is decided in `core.retention`. Here it is made durable, and tombstones are taken out
of the store. One thing at a time is done with a shard.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import structlog
import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.retention.marks import Marks
from gossipnode.core.retention.meeting import agree, completed, meet
from gossipnode.core.retention.purge_round import SealAnswer, why_not_sealed
from gossipnode.node.local.clock import Clock
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.floor_keeper import FloorKeeper
from gossipnode.node.local.record_writer import RecordWriter
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.world import Quarantine
from gossipnode.store.interface import Store
from gossipnode.store.retention import REMOVED_AT_ONCE_MAX, HeldVersion

MEETING_PATIENCE_SECONDS = 2.0
"""How long a request waits until a replica that is new to its shard has met those that have it."""


@dataclass(slots=True)
class _ShardState:
    """What is known of a shard since the node started."""

    turn: trio.Lock = field(default_factory=trio.Lock)
    given_up_to: int = 0
    """Up to which stamp what was held here has been given up."""
    fence: bytes = b""
    met: set[str] = field(default_factory=set[str])
    """The sources that were met under this fence."""


class RetentionKeeper:
    """Keeps the marks of this node's shards."""

    def __init__(
        self,
        store: Store,
        cluster: ClusterState,
        shards: ShardMap,
        clock: Clock,
        floors: FloorKeeper,
        writer: RecordWriter,
        quarantine: Quarantine,
    ) -> None:
        """Keep them in `store`. Records that this node may not have any more go to `quarantine`."""
        self._store = store
        self._cluster = cluster
        self._shards = shards
        self._clock = clock
        self._floors = floors
        self._writer = writer
        self._quarantine = quarantine
        self.became_stale = ChangeEvent()
        """Tells that this node may lack tombstones of a shard that lies by it."""
        self._states: defaultdict[ShardId, _ShardState] = defaultdict(_ShardState)
        self._log = structlog.get_logger("gossipnode.retention")

    def marks(self, shard: ShardId) -> Marks:
        """The marks of a shard."""
        return self._store.retention.marks(shard)

    def stale(self) -> list[ShardId]:
        """The shards that lie by this node, and of which it may lack tombstones that others have purged."""
        return [
            shard
            for shard, marks in self._store.retention.all_marks().items()
            if marks.is_stale and self._is_settled(self._shards.view.placement(shard))
        ]

    def _is_settled(self, placement: Placement | None) -> bool:
        """Whether a shard lies by this node."""
        return placement is not None and self._shards.own_name in placement.sources

    # Requests

    def why_not_served(self, shard: ShardId) -> str:
        """Why no request of a coordinator is served, in words; empty if they are."""
        placement = self._shards.view.placement(shard)
        if placement is None:
            return ""
        if self._is_settled(placement):
            if self.marks(shard).is_stale:
                return f"{self._shards.own_name} is stale: it first copies from a replica that is complete"
            return ""
        if self._has_met_enough(placement):
            return ""
        return f"{self._shards.own_name} is new to {shard}, and has not met the replicas that have it"

    async def wait_met(self, shard: ShardId) -> None:
        """Wait for a moment until this replica has met those that have the shard, if it is new to it."""
        placement = self._shards.view.placement(shard)
        if placement is None or self._is_settled(placement) or self._has_met_enough(placement):
            return
        with trio.move_on_after(MEETING_PATIENCE_SECONDS):
            while self.why_not_served(shard):
                await self._cluster.met_replicas.wait()

    def lacks_meetings(self, placement: Placement) -> bool:
        """Whether this node is new to a shard, and has not met enough of those that have it."""
        is_holder = self._shards.own_name in placement.holders
        return is_holder and not self._is_settled(placement) and not self._has_met_enough(placement)

    def _has_met_enough(self, placement: Placement) -> bool:
        state = self._states[placement.shard]
        met = state.met if state.fence == placement.fence else ()
        return len(met) >= placement.sources_needed

    # Meetings

    def needs_meeting(self, shard: ShardId) -> bool:
        """Whether a session as its client has to begin with a meeting.

        Otherwise its server says whether the two agree already.
        """
        return self.marks(shard).is_stale or not self._is_settled(self._shards.view.placement(shard))

    def agrees(self, shard: ShardId, told: Marks) -> bool:
        """Whether a session can begin with a client that told these marks."""
        settled = self._is_settled(self._shards.view.placement(shard))
        return agree(self.marks(shard), told, settled=settled, given_up_to=self._states[shard].given_up_to)

    async def meet(self, shard: ShardId, told: Marks) -> str:
        """Take the marks of another replica; gives why records cannot be exchanged with it yet, or "".

        Raises:
            StoreError: the marks were not kept, or what is given up was not removed.
            OSError: what is given up cannot be put into quarantine.
        """
        state = self._states[shard]
        async with state.turn:
            own = self.marks(shard)
            settled = self._is_settled(self._shards.view.placement(shard))
            meeting = meet(own, told, settled=settled, given_up_to=state.given_up_to, now=self._latest())
            if meeting.give_up_to:
                # The seal comes first: what is given up must not come again meanwhile.
                await self._keep(shard, own._replace(sealed=meeting.after.sealed))
                await self._give_up(shard, meeting.give_up_to)
                state.given_up_to = meeting.give_up_to
            await self._keep(shard, meeting.after)
            await self._purge(shard)
        if meeting.after.is_stale:
            self.became_stale.notify()
        return meeting.problem

    def _latest(self) -> int:
        """The latest that this node's clock may show if it is right, in nanoseconds."""
        return self._clock.now() + MAX_CLOCK_SKEW_NANOSECONDS

    def has_met(self, placement: Placement, peer: str) -> None:
        """A replica that has the shard was met, under the fence of this placement."""
        state = self._states[placement.shard]
        if state.fence != placement.fence:
            state.fence, state.met = placement.fence, set()
        state.met.add(peer)
        self._cluster.met_replicas.notify()

    async def rest(self, shard: ShardId) -> None:
        """Return once nothing of a shard is under way, and all that is to be purged is."""
        if self.marks(shard).mark:
            async with self._states[shard].turn:
                await self._purge(shard)

    async def copied(self, shard: ShardId, told: Marks) -> None:
        """A session with a replica that told these marks before has left nothing out.

        Raises:
            StoreError: that was not kept.
        """
        async with self._states[shard].turn:
            own = self.marks(shard)
            after = completed(own, told)
            if after != own and self._states[shard].given_up_to >= told.complete:
                await self._keep(shard, after)
                self._log.info("shard complete", shard=str(shard), was_stale=own.is_stale)

    # Purge rounds

    async def seal(self, shard: ShardId, stamp: int, epoch: int) -> SealAnswer:
        """Take no more writes up to a stamp, if this node can.

        Raises:
            StoreError: it was not kept.
        """
        async with self._states[shard].turn:
            problem = self._why_not(shard, epoch) or why_not_sealed(stamp, self._clock.now())
            if not problem and self._shards.holds(shard):
                await self._keep(shard, Marks(sealed=stamp))
            return self._answer(shard, problem)

    async def proven(self, shard: ShardId, stamp: int, epoch: int, start: tuple[int, int, int]) -> SealAnswer:
        """Keep that all replicas hold the same up to a stamp, if nothing has changed since the seal.

        Raises:
            StoreError: it was not kept.
        """
        async with self._states[shard].turn:
            answer = self._answer(shard, self._why_not(shard, epoch))
            if not answer.problem and answer.start != start:
                answer = self._answer(shard, "it was started again, or took late records")
            if not answer.problem and self._shards.holds(shard):
                if self.marks(shard).sealed < stamp:
                    return self._answer(shard, "it is not sealed")
                await self._keep(shard, Marks(complete=stamp))
            return answer

    async def raise_mark(self, shard: ShardId, stamp: int) -> str:
        """Purge up to a stamp; gives why that was not done, or "".

        Raises:
            StoreError: it was not kept, or not all was removed yet.
        """
        async with self._states[shard].turn:
            if self.marks(shard).complete < stamp:
                return "it is not complete up to there"
            await self._keep(shard, Marks(mark=stamp))
            purged = await self._purge(shard)
        if purged:
            # Sessions need not wait for it.
            await self._store.retention.give_space_back()
        return ""

    def _why_not(self, shard: ShardId, epoch: int) -> str:
        """Why this node takes no part in a purge round of an epoch; "" if it does, or holds nothing."""
        if not self._shards.cleared:
            return "its store does not count yet"
        if epoch != self._cluster.epoch:
            return "it is in another epoch"
        placement = self._shards.view.placement(shard)
        if placement is None:
            return "it knows no such shard"
        if placement.moving:
            return "the shard moves"
        if self._shards.own_name not in placement.holders:
            held = shard in self._store.shards()
            return "it still has records of the shard to hand over" if held else ""
        return "it is stale" if self.marks(shard).is_stale else ""

    def _answer(self, shard: ShardId, problem: str) -> SealAnswer:
        mark = self._cluster.boot.mark
        if mark is None:
            return SealAnswer(0, 0, problem=problem or "its start is not noted yet")
        return SealAnswer(mark.boot, mark.nonce, self._writer.late(shard), problem)

    # The store

    async def _keep(self, shard: ShardId, marks: Marks) -> None:
        if marks.sealed > self.marks(shard).sealed:
            # Coordinators are told of it before they come with a stamp that would be refused.
            self._clock.saw(marks.sealed)
            await self._floors.raise_all(marks.sealed)
        await self._store.retention.keep(shard, marks)

    async def _purge(self, shard: ShardId) -> int:
        """Remove the tombstones up to the mark, some dozens in each commit; gives how many they were."""
        retention, purged = self._store.retention, 0
        mark = self.marks(shard).mark
        while mark:
            old = await retention.tombstones(shard, mark, limit=REMOVED_AT_ONCE_MAX)
            if not old:
                break
            purged += await retention.remove(shard, old)
        if purged:
            self._log.info("tombstones purged", shard=str(shard), tombstones=purged, mark=mark)
        return purged

    async def _give_up(self, shard: ShardId, up_to: int) -> None:
        """Take everything with a stamp up to this one out of the store; live records go into quarantine.

        It was in no proof, or others may have purged what deleted it. What is not deleted comes back from a
        replica that is complete.
        """
        after: Entity | None = None
        given_up, path = 0, ""
        while True:
            page = await self._store.scan(shard, after=after, limit=REMOVED_AT_ONCE_MAX)
            old = [record for record in page if record.version.stamp <= up_to]
            live: list[Record] = [record for record in old if not record.deleted]
            if live:
                path = await self._quarantine.keep(shard, live)
                given_up += len(live)
            await self._store.retention.remove(
                shard, [HeldVersion(record.entity, record.version) for record in old]
            )
            if len(page) < REMOVED_AT_ONCE_MAX:
                break
            after = page[-1].entity
        if given_up:
            self._log.warning(
                "records put into quarantine: those that were not deleted come back",
                shard=str(shard),
                records=given_up,
                path=path,
            )
