"""Meeting: a replica that is new to a shard meets those that have it before it serves a request.

Otherwise it could show what others have deleted and purged, or take a write that they would refuse. One that
turns out to be stale copies from a replica that is complete, in the same way.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.sessions import Sessions

MEETINGS_AT_ONCE = 16
"""Shards in which this node meets others at the same time. A meeting is a call or two."""


class Greeter:
    """Meets the replicas of shards that this node is new to, and copies those of which it is stale."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions) -> None:
        """Meet `members`, and copy by `sessions`."""
        self._local = local
        self._shards = local.shards
        self._retention = local.retention
        self._members = members
        self._sessions = sessions
        self._log = structlog.get_logger("gossipnode.hand_off")
        self._told = ToldStates(self._log)

    async def greet_all(self, view: ClusterView) -> bool:
        """Meet whom this node has to meet; gives whether it has met enough of them in every shard.

        Raises:
            StoreError: what follows from it was not kept.
            OSError: what this node gives up cannot be put into quarantine.
        """
        limit, loop = trio.CapacityLimiter(MEETINGS_AT_ONCE), LoopSteps()
        due: list[Placement] = []
        for placement in view.unsettled():
            if self._retention.lacks_meetings(placement):
                due.append(placement)
            await loop.step()
        with one_error():
            async with trio.open_nursery() as nursery:
                for placement in due:
                    nursery.start_soon(self._greet_in_turn, limit, placement)
        return not any(self._retention.lacks_meetings(placement) for placement in due)

    async def _greet_in_turn(self, limit: trio.CapacityLimiter, placement: Placement) -> None:
        async with limit:
            for name in placement.sources:
                peer = self._members.peers.get(name)
                if peer is not None and not peer.foreign and self._retention.lacks_meetings(placement):
                    met = await self._sessions.meetings.meet(peer, placement.shard)
                    about = placement.shard, name
                    if met.problem:
                        shard = str(placement.shard)
                        self._told.tell(
                            about, "replica not met yet", reason=met.problem, shard=shard, peer=name
                        )
                    else:
                        self._told.is_over(about)

    async def copy_stale(self) -> bool:
        """Copy the shards of which this node is stale; gives whether it is stale of none any more.

        Raises:
            StoreError: what follows from it was not kept.
            OSError: what this node gives up cannot be put into quarantine.
        """
        for shard in self._retention.stale():
            await self._copy(shard)
        return not self._retention.stale()

    async def _copy(self, shard: ShardId) -> None:
        """Compare with the other replicas, until one of them was complete and left nothing out."""
        self._log.warning("stale: others may have purged what this node never had", shard=str(shard))
        for name in self._shards.replicas(shard):
            peer = self._members.peers.get(name)
            if peer is None or peer.foreign or not self._retention.marks(shard).is_stale:
                continue
            met = await self._sessions.meetings.meet(peer, shard)
            if met.problem or met.told.is_stale:
                continue
            hop = await self._sessions.compare(peer, shard, self._members.metadata)
            if hop.complete:
                await self._retention.copied(shard, met.told)
