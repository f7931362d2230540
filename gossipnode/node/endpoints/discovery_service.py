"""NodeQueryService: who this node is, for the discovery of a compatible peer.

The peer admits a node only if it answers here and serves the health service. It then hands messages of rounds
to the address that it was told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.config.settings import NodeSettings
from gossipnode.node.local.node_state import NodeState
from gossipnode.rpc import CallContext
from gossipnode.wire import services
from gossipnode.wire.discovery_codec import encode_current_node
from gossipnode.wire.generated.pb.banyandb.database.v1 import rpc_pb2


class DiscoveryService:
    """Serves the discovery of a compatible peer."""

    def __init__(self, settings: NodeSettings, state: NodeState, started_at: int) -> None:
        """Tell of the node of these settings, which was started at this time in nanoseconds."""
        self._settings = settings
        self._state = state
        self._started_at = started_at

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.CURRENT_NODE: self.current_node}

    async def current_node(
        self, request: rpc_pb2.GetCurrentNodeRequest, call: CallContext
    ) -> rpc_pb2.GetCurrentNodeResponse:
        """Who this node is. Calls of clients and messages of rounds come in at one address."""
        advertised = self._settings.advertise
        # With port 0 the node has another one, which it knows since it listens.
        address = advertised if advertised.port else self._state.address
        return encode_current_node(self._settings.name, str(address), self._started_at)
