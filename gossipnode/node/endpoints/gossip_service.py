"""GossipService: the message of a round, which its present holder hands to this node.

What a message means is decided in `core.ring`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import RoundMessage, check_message
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.repair.foreign.foreign_witness import ForeignWitness
from gossipnode.node.repair.holder import Holder
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb

ROUND_ID_MAX_CHARACTERS = 64
"""The id of another node's round is cut to this length."""


class GossipService:
    """Takes the messages of rounds."""

    def __init__(self, shards: ShardMap, members: Members, holder: Holder, witness: ForeignWitness) -> None:
        """Hand checked messages to `holder`; `witness` knows those of foreign holders again."""
        self._shards = shards
        self._members = members
        self._holder = holder
        self._witness = witness

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.PROPAGATION: self.propagation}

    async def propagation(
        self, request: banyandb.PropagationRequest, call: CallContext
    ) -> banyandb.PropagationResponse:
        """Take the message of a round. The answer comes at once, before the work is done."""
        shard = self._shards.current(ShardId(request.group, request.shard_id))
        if shard is None:
            raise RpcError(
                Status.NOT_FOUND, f"this node holds no shard {request.group[:80]!r}/{request.shard_id}"
            )
        context = request.context
        message = RoundMessage(
            round=call_metadata.text(call.metadata, call_metadata.ROUND)[:ROUND_ID_MAX_CHARACTERS],
            shard=shard,
            origin=context.origin_node,
            nodes=tuple(context.nodes),
            count=context.current_propagation_count,
            cause=call_metadata.cause_of(call.metadata),
            trace=call_metadata.traceparent(call.metadata),
        )
        with as_status():
            checked = check_message(
                message,
                own_name=self._members.own_name,
                members=self._members.names,
                replicas=self._shards.ring(shard),
            )
        if not self._holder.accepting:
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        call.trailing_metadata[call_metadata.NODE] = self._members.own_name
        known = self._witness.known_again(checked)
        if known is not None:
            self._holder.offer(known)
        return banyandb.PropagationResponse()
