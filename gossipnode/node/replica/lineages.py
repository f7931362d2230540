"""This node as a replica: it tells one that is new to a shard which requests its records include."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.replica.replica import Replica
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.lineage_codec import decode_key, encode_page


class ReplicaLineages:
    """Serves what is kept beside the records of a shard."""

    def __init__(self, local: LocalState, replica: Replica) -> None:
        """Read from `local`; `replica` judges whether the caller sees the cluster as we do."""
        self._requests = local.requests
        self._replica = replica

    async def serve(self, request: pb.LineagesRequest, _call: CallContext) -> pb.LineagesReply:
        """A page of lineages.

        Raises:
            RpcError: the caller sees other replicas of the shard than we do, or our store cannot be read.
        """
        shard = ShardId(request.group, request.shard, request.incarnation)
        await self._replica.wait_cleared()
        refusal = self._replica.refusal(shard, request.fence)
        if refusal is not None:
            raise RpcError(Status(refusal.status), refusal.message)
        with as_status():
            after = decode_key(shard.group, request.after) if request.HasField("after") else None
            return encode_page(await self._requests.recent(shard, after))
