"""Offering: a store that came as a new member with records compares each of its shards with every replica.

Filling compares with as many sources as it needs, and other new replicas may have filled themselves before
that. So what this node alone had could be missing from most replicas, and a quorum would not show it.
"""

from __future__ import annotations

import structlog

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.hand_off.fill import compare_fenced
from gossipnode.node.identity.birth import OFFER_NOTE
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.sessions import Sessions


class Offerer:
    """Offers what this node brought along, until every replica has it. A note says whether that is due."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions) -> None:
        """Compare with `members` by `sessions`."""
        self._shards = local.shards
        self._store = local.store
        self._members = members
        self._sessions = sessions
        self._over = False
        self._offered: dict[tuple[ShardId, str], bytes] = {}
        """The replicas that have what this node has of a shard, each with the fence under which it was so."""
        self._log = structlog.get_logger("gossipnode.hand_off")

    async def offer_all(self, view: ClusterView) -> bool:
        """Offer what is still to be offered; gives whether nothing is left.

        A shard that moves has to wait. One that this node is not to hold is handed over in another way, see
        `give_up`.

        Raises:
            StoreError: the note cannot be read, or its end was not kept.
        """
        if not self._over:
            self._over = await self._store.note(OFFER_NOTE) is None
        if self._over:
            return True
        if not view.counts(self._shards.own):
            return False
        if not all([await self._offer(shard) for shard in await self._shards.held()]):
            return False
        if self._shards.view is not view:
            return False
        await self._store.keep_note(OFFER_NOTE, None)
        self._over = True
        self._log.info("every replica has what this node brought along")
        return True

    async def _offer(self, shard: ShardId) -> bool:
        """Compare a shard with each of its replicas; gives whether all of them have what this node has."""
        placement = self._shards.view.placement(shard)
        if placement is None or placement.moving:
            return False
        others = [name for name in placement.coming if name != self._shards.own_name]
        return all([await self._offer_to(name, placement) for name in others])

    async def _offer_to(self, name: str, placement: Placement) -> bool:
        key = placement.shard, name
        if self._offered.get(key) == placement.fence:
            return True
        peer = self._members.peers.get(name)
        if peer is None:
            return False
        hop = await compare_fenced(self._sessions, self._members, peer, placement)
        if hop.complete:
            self._offered[key] = placement.fence
        return hop.complete
