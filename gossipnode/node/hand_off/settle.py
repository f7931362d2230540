"""Settling: when every new replica is filled, one member writes down that the members are settled.

Until that record is there, every read and write needs enough replicas of both placements.
"""

from __future__ import annotations

import structlog

from gossipnode.core.cluster.registry_records import SETTLED_ENTITY, settled_tags
from gossipnode.core.cluster.view import ClusterView
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.members import Members


class Settler:
    """Writes down that the members are settled, if it is this node's turn to do so."""

    def __init__(self, local: LocalState, members: Members, sync: RegistrySync) -> None:
        """Judge by what `members` last said of themselves."""
        self._own_name = local.own_name
        self._fill = local.fill
        self._members = members
        self._sync = sync
        self._log = structlog.get_logger("gossipnode.hand_off")

    async def settle(self, view: ClusterView) -> None:
        """Write the record, if every shard is where it belongs and this is the first member that is up.

        Raises:
            StoreError: the record was not kept.
        """
        if view.is_settled or any(self._fill.unfilled(view)):
            return
        if not all(self._says_filled(view, name) for name in view.joining):
            return
        up = [name for name, peer in self._members.peers.items() if peer.state == "up" and not peer.foreign]
        if self._own_name not in view.members or self._own_name != min([self._own_name, *up]):
            return
        record = await self._sync.put(SETTLED_ENTITY, settled_tags(view.joined))
        await self._sync.spread(record)
        self._log.info("members settled", members=list(view.members))

    def _says_filled(self, view: ClusterView, name: str) -> bool:
        if name == self._own_name:
            return True
        peer = self._members.peers.get(name)
        return peer is not None and peer.progress.filled_view == view.view_id
