"""Filling: a replica that is new to a shard compares with enough of the replicas that hold it.

From the moment these know the new view, they refuse requests made in the old one. So no acknowledged write
can be missed, see `Placement.sources_needed`.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.ring.round import Hop
from gossipnode.node.hand_off.copy_lineages import copy_lineages
from gossipnode.node.hand_off.raise_floors import raise_floors
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.retention.meetings import Met
from gossipnode.node.repair.sessions import Sessions

SHARDS_FILLED_AT_ONCE = 2
"""Shards that are filled at the same time. They are few, because the node also serves its clients."""


class Filler:
    """Fills this node's new shards."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions) -> None:
        """Compare with `members` by `sessions`; what is filled is kept in the state of `local`."""
        self._local = local
        self._shards = local.shards
        self._state = local.fill
        self._members = members
        self._sessions = sessions
        self._log = structlog.get_logger("gossipnode.hand_off")
        self._told = ToldStates(self._log)

    async def fill_all(self, view: ClusterView) -> None:
        """Try to fill every shard that is not filled yet, a few at a time.

        Raises:
            StoreError: a note of what is filled was not kept.
        """
        limit = trio.CapacityLimiter(SHARDS_FILLED_AT_ONCE)
        with one_error():
            async with trio.open_nursery() as nursery:
                for placement in await self._state.unfilled(view):
                    nursery.start_soon(self._fill_in_turn, limit, placement)

    async def _fill_in_turn(self, limit: trio.CapacityLimiter, placement: Placement) -> None:
        async with limit:
            await self._fill(placement)

    async def _fill(self, placement: Placement) -> None:
        """Compare with all that hold the shard; it is filled once enough comparisons were complete.

        Those that are down come last, and only if they are needed: each may cost the time of a session.
        """
        own = self._shards.own_name
        assert own in placement.filling, placement
        done, needed = 0, placement.copies_needed(own)
        peers = [self._members.peers[name] for name in placement.sources if name in self._members.peers]
        for peer in sorted(peers, key=lambda peer: peer.state == "down"):
            if peer.foreign or (peer.state == "down" and done >= needed):
                continue
            reason = await raise_floors(self._local, peer, placement)
            met = Met() if reason else await self._sessions.meetings.meet(peer, placement.shard)
            reason = reason or met.problem or ("it is stale" if met.told.is_stale else "")
            if not reason:
                hop = await compare_fenced(self._sessions, self._members, peer, placement)
                reason = "" if hop.complete else hop.reason or "incomplete"
            if not reason:
                reason = await copy_lineages(self._local, self._members, peer, placement)
                done += not reason
                if not reason:
                    await self._local.retention.copied(placement.shard, met.told)
            about, event = (placement.shard, peer.name), "shard not filled from a member yet"
            if reason:
                self._told.tell(about, event, reason=reason, shard=str(placement.shard), peer=peer.name)
            else:
                self._told.is_over(about)
        now = self._shards.view.placement(placement.shard)
        if done >= needed and now is not None and now.fence == placement.fence:
            await self._state.remember(now)
            self._log.info("shard filled", shard=str(placement.shard), sources=done)


async def compare_fenced(
    sessions: Sessions, members: Members, peer: Peer, placement: Placement, *, leaving: bool = False
) -> Hop:
    """A session that the peer refuses if it sees other replicas of the shard than we do."""
    metadata = {**members.metadata, call_metadata.FENCE: placement.fence.hex()}
    return await sessions.compare(peer, placement.shard, metadata, leaving=leaving)
