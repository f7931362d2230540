"""A node as the message by which it introduces itself to a compatible peer."""

from __future__ import annotations

from gossipnode.wire.generated.pb.banyandb.common.v1 import common_pb2
from gossipnode.wire.generated.pb.banyandb.database.v1 import database_pb2, rpc_pb2


def encode_current_node(name: str, address: str, started_at: int) -> rpc_pb2.GetCurrentNodeResponse:
    """A node that holds data, serves all calls at one address, and was started at a time in nanoseconds."""
    node = database_pb2.Node(
        metadata=common_pb2.Metadata(name=name),
        roles=[database_pb2.ROLE_DATA],
        grpc_address=address,
        property_repair_gossip_grpc_address=address,
    )
    node.created_at.FromNanoseconds(started_at)
    return rpc_pb2.GetCurrentNodeResponse(node=node)
