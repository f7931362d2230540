"""Searches that a coordinator asks of a replica, and how many a replica serves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.search import Search
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import Channel
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.query.scan_codec import SearchedShard, encode_search

SHARD = ShardId("sw", 0)
OURS = {call_metadata.NODE: "a", call_metadata.CLUSTER: "main"}


def scan_request(cluster: Cluster, *, fence: bytes | None = None, **options: Any) -> pb.ScanRequest:
    if fence is None:
        fence = cluster.nodes["a"].parts.local.shards.placement(SHARD).fence
    shard = SearchedShard(SHARD, fence, properties=True)
    return encode_search(Search((SHARD,), **options), [shard])


def under_way(cluster: Cluster, name: str) -> int:
    """How many searches a node serves."""
    return cluster.parts(name).scan.under_way


@asynccontextmanager
async def a_search_that_nobody_reads(channel: Channel, cluster: Cluster, name: str) -> AsyncGenerator[None]:
    """Start a search of more than a stream's window holds, and take nothing of it."""
    async with channel.stream(services.REPLICA_SCAN, timeout=None, metadata=OURS) as stream:
        await stream.send(scan_request(cluster))
        await stream.half_close()
        await trio.sleep(0.1)
        assert under_way(cluster, name) == 1
        yield
