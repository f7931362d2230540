"""Searches that a coordinator asks of a replica, and whether a replica has room for one."""

from __future__ import annotations

from typing import Any

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.search import Search
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.scan_codec import SearchedShard, encode_search
from tests.node.asking import every_answer

SHARD = ShardId("sw", 0)
OURS = {call_metadata.NODE: "a", call_metadata.CLUSTER: "main"}


def scan_request(cluster: Cluster, *, fence: bytes | None = None, **options: Any) -> pb.ScanRequest:
    own = cluster.nodes["a"].parts.local.shards.placement(SHARD).fence
    shard = SearchedShard(SHARD, own if fence is None else fence, properties=True)
    return encode_search(Search((SHARD,), **options), [shard])


async def has_room(cluster: Cluster, name: str) -> bool:
    """Whether a node serves one more search, or has as many under way as it serves at once."""
    async with cluster.channel(name) as channel:
        try:
            await every_answer(channel, services.REPLICA_SCAN, scan_request(cluster, name="nobody"), **OURS)
        except RpcError as error:
            if error.status is Status.RESOURCE_EXHAUSTED and error.message.endswith(
                "are under way: try again"
            ):
                return False
            raise
    return True
