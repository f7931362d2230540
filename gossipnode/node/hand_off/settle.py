"""Settling: shards whose new replicas are all filled lie where they belong, which one member has decided.

Until that is decided, every read and write of the shard needs enough replicas of both placements.
"""

from __future__ import annotations

from functools import partial

import structlog

from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.cluster import changes
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.epochs import Epochs
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import TooFewMembersError

SETTLED_AT_ONCE_MAX = 4096
"""Shards that one epoch settles. The next ones follow in the next epoch."""


class Settler:
    """Has shards settled, if it is this node's turn to do so."""

    def __init__(self, local: LocalState, members: Members, epochs: Epochs) -> None:
        """Judge by what `members` last said of themselves; `epochs` decides."""
        self._own_name = local.own_name
        self._fill = local.fill
        self._members = members
        self._epochs = epochs
        self._log = structlog.get_logger("gossipnode.hand_off")
        self._told = ToldStates(self._log)

    async def settle(self, view: ClusterView) -> None:
        """Have the shards settled that are filled, if this is the first member that is up.

        Raises:
            StoreError: our own part was not kept.
        """
        if view.is_settled or not self._is_our_turn(view):
            return
        under = await self._filled(view)
        if not under:
            return
        try:
            value, _ = await self._epochs.change(partial(changes.settle, filled=under))
        except TooFewMembersError as error:
            self._told.tell("shards", "shards not settled yet", epoch=view.metadata.epoch, reason=str(error))
            return
        self._told.is_over("shards")
        self._log.info("shards settled", shards=len(under), epoch=value.epoch)

    def _is_our_turn(self, view: ClusterView) -> bool:
        up = [
            name for name, peer in self._members.peers.items() if peer.state == "up" and name in view.members
        ]
        return self._own_name in view.members and self._own_name == min([self._own_name, *up])

    async def _filled(self, view: ClusterView) -> list[tuple[ShardId, bytes]]:
        """The shards that all of their new replicas have filled, and the fence under which they did."""
        filled: list[tuple[ShardId, bytes]] = []
        loop = LoopSteps()
        for placement in view.unsettled():
            if self._is_filled(placement):
                filled.append((placement.shard, placement.fence))
                if len(filled) == SETTLED_AT_ONCE_MAX:
                    break
            await loop.step()
        return filled

    def _is_filled(self, placement: Placement) -> bool:
        return all(self._says_filled(placement, name) for name in placement.filling)

    def _says_filled(self, placement: Placement, name: str) -> bool:
        if name == self._own_name:
            return self._fill.is_filled(placement)
        peer = self._members.peers.get(name)
        return peer is not None and peer.progress.filled.get(placement.shard) == placement.fence
