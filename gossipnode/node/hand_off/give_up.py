"""Giving up: a member that holds a shard no longer hands its copy over, and only then drops it."""

from __future__ import annotations

import structlog

from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId
from gossipnode.node.hand_off.fill import compare_fenced
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.sessions import Sessions


class Leaver:
    """Hands over the shards that this node is no longer to hold."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions) -> None:
        """Push to `members` by `sessions`."""
        self._shards = local.shards
        self._store = local.store
        self._members = members
        self._sessions = sessions
        self._log = structlog.get_logger("gossipnode.hand_off")

    async def leftovers(self) -> list[ShardId]:
        """The shards that this node has records of and is no longer to hold."""
        leftovers: list[ShardId] = []
        loop = LoopSteps()
        for shard in self._store.shards():
            if self._shards.view.gives_up(shard, self._shards.own_name):
                leftovers.append(shard)
            await loop.step()
        return leftovers

    async def give_up(self, shard: ShardId) -> None:
        """Hand a copy over, and drop it. Nothing is dropped that another member may lack.

        Raises:
            StoreError: the copy cannot be read or dropped.
        """
        placement = self._shards.view.placement(shard)
        # Without a placement the group was deleted, and the records go with it.
        if placement is not None and not await self._push(placement):
            return
        if self._shards.view.placement(shard) != placement:
            return
        await self._store.drop(shard)
        why = "the group was deleted" if placement is None else "it lies elsewhere now"
        self._log.info("shard given up", shard=str(shard), incarnation=shard.incarnation, why=why)

    async def _push(self, placement: Placement) -> bool:
        """Compare with every replica of a shard; gives whether each of them has all of our records now."""
        for name in placement.coming:
            peer = self._members.peers.get(name)
            if peer is None:
                return False
            hop = await compare_fenced(self._sessions, self._members, peer, placement, leaving=True)
            if not hop.complete:
                return False
        return bool(placement.coming)
