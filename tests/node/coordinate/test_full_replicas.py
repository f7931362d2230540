"""What a client is told when replicas have no room for a write."""

from __future__ import annotations

import pytest
import trio

from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_APPLY
from tests.records import prop


async def applied(cluster: Cluster, node: str, ack: str) -> v1.ApplyResponse | RpcError:
    async with cluster.channel(node) as channel:
        try:
            return await channel.unary(NODE_APPLY, v1.ApplyRequest(property=prop("n/1"), ack=ack), timeout=10)
        except RpcError as error:
            return error


@pytest.mark.parametrize("node", ["a", "c"])
async def test_a_write_that_too_few_have_room_for_is_refused_as_such(
    node: str, autojump_clock: object
) -> None:
    """Whether the node asked is one of those that are full or not: another node could not help either."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for full in "ab":
            cluster.stores[full].set_full(True)
        refused = await applied(cluster, node, "quorum")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert "quorum needs 2; not: a (no space left" in refused.message
        for room in "ab":
            cluster.stores[room].set_full(False)
        assert isinstance(await applied(cluster, node, "quorum"), v1.ApplyResponse)
        cluster.stop()


async def test_with_one_down_and_one_full_the_cluster_is_not_there(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["b"].set_full(True)
        assert isinstance(await applied(cluster, "a", "quorum"), v1.ApplyResponse)
        cluster.kill("c")
        await cluster.ended["c"].wait()
        refused = await applied(cluster, "a", "quorum")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.UNAVAILABLE
        assert "b (no space left" in refused.message
        cluster.stop()


async def test_this_node_alone_being_full_is_told_at_once(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["a"].set_full(True)
        refused = await applied(cluster, "a", "local")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert isinstance(await applied(cluster, "a", "quorum"), v1.ApplyResponse)
        cluster.stop()
