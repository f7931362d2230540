"""Giving up: a member that holds a shard no longer hands its copy over, and only then drops it."""

from __future__ import annotations

import structlog

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import Fate
from gossipnode.core.model.property import ShardId
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.hand_off.fill import compare_fenced
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import TooFewReplicasError, UnknownGroupError
from gossipnode.node.repair.sessions import Sessions
from gossipnode.node.search.feeds import SCAN_PAGE_RECORDS


class Leaver:
    """Hands over the shards that this node is no longer to hold."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions, bulk: BulkWrites) -> None:
        """Push to `members` by `sessions`; `bulk` moves the records of a group that was created twice."""
        self._shards = local.shards
        self._store = local.store
        self._members = members
        self._sessions = sessions
        self._bulk = bulk
        self._log = structlog.get_logger("gossipnode.hand_off")

    def leftovers(self) -> list[ShardId]:
        """The shards that this node has records of and is no longer to hold."""
        held = self._store.shards()
        return [shard for shard in held if self._shards.view.gives_up(shard, self._shards.own_name)]

    async def give_up(self, shard: ShardId) -> None:
        """Hand a copy over, and drop it. Nothing is dropped that another member may lack.

        Raises:
            StoreError: the copy cannot be read or dropped.
        """
        view = self._shards.view
        fate = view.fate(shard)
        if fate is Fate.DROP:
            done = True
        elif fate is Fate.MERGE:
            done = await self._move_to_winner(shard)
        else:
            done = await self._push(shard)
        if done and self._shards.view is view:
            assert not self._shards.holds(shard), shard
            await self._store.drop(shard)
            self._log.info("shard given up", shard=str(shard), incarnation=shard.incarnation, why=fate.value)

    async def _push(self, shard: ShardId) -> bool:
        """Compare with every replica of a shard; gives whether each of them has all of our records now."""
        placement = self._shards.view.placement(shard)
        if placement is None:
            return False
        for name in placement.coming:
            peer = self._members.peers.get(name)
            if peer is None:
                return False
            hop = await compare_fenced(self._sessions, self._members, peer, placement, leaving=True)
            if not hop.complete:
                return False
        return bool(placement.coming)

    async def _move_to_winner(self, shard: ShardId) -> bool:
        """Write the records of a group that lost to the one that won; gives whether all are there now."""
        after = None
        while page := await self._store.scan(shard, after=after, limit=SCAN_PAGE_RECORDS):
            after = page[-1].entity
            try:
                await self._bulk.write_versions(page, AckLevel.QUORUM)
            except (TooFewReplicasError, UnknownGroupError) as error:
                self._log.info("records not moved yet", reason=str(error))
                return False
        return True
