"""Who a node says that it is, to the discovery of a compatible peer."""

from __future__ import annotations

import pytest

from gossipnode.config.address import Address
from gossipnode.node.endpoints.discovery_service import DiscoveryService
from gossipnode.node.local.node_state import NodeState
from gossipnode.sim import Cluster
from gossipnode.sim.cluster import DAY_ONE
from gossipnode.wire import services
from gossipnode.wire.generated.pb.banyandb.database.v1 import rpc_pb2
from tests.node.asking import asked


async def test_a_node_introduces_itself(autojump_clock: object) -> None:
    async with asked(Cluster()) as channel:
        reply = await channel.unary(services.CURRENT_NODE, rpc_pb2.GetCurrentNodeRequest(), timeout=20)
    node = reply.node
    assert (node.metadata.name, list(node.roles)) == ("a", [2])
    assert node.grpc_address == node.property_repair_gossip_grpc_address == "a:7400"
    assert 0 <= node.created_at.ToNanoseconds() - DAY_ONE < 60 * 10**9
    assert (node.http_address, len(node.labels)) == ("", 0)


@pytest.mark.parametrize(
    ("overrides", "address"),
    [
        ({"node.advertise": "public.example:7000"}, "public.example:7000"),
        ({"node.listen": "0.0.0.0:0", "node.advertise": "[::1]:7000"}, "[::1]:7000"),
        ({"node.listen": "127.0.0.1:0"}, "127.0.0.1:41234"),
    ],
)
async def test_the_address_is_one_that_can_be_dialed(overrides: dict[str, object], address: str) -> None:
    settings = Cluster().settings("a", **overrides)
    state = NodeState(settings.node.listen)
    state.address = Address(settings.node.listen.host, 41234)
    service = DiscoveryService(settings.node, state, DAY_ONE)
    (answer,) = service.handlers().values()
    reply = await answer(rpc_pb2.GetCurrentNodeRequest(), None)
    assert reply.node.grpc_address == reply.node.property_repair_gossip_grpc_address == address
