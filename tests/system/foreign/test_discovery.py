"""A stock gRPC client, with the peer's own shape of the messages, does what the peer's discovery does."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.system.nodes import Nodes
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of

pytestmark = pytest.mark.slow

CURRENT_NODE = "/banyandb.database.v1.NodeQueryService/GetCurrentNode"
HEALTH = "/grpc.health.v1.Health/Check"


def peers_shape() -> Any:
    """The answer as the peer has it: its labels are a map."""
    text, message, number, enum_as_number, repeated = 9, 11, 3, 5, 3
    file = descriptor_pb2.FileDescriptorProto(name="theirs.proto", package="theirs", syntax="proto3")
    shapes: dict[str, list[tuple[str, int, int, str]]] = {
        "Metadata": [("group", 1, text, ""), ("name", 2, text, "")],
        "Moment": [("seconds", 1, number, ""), ("nanos", 2, enum_as_number, "")],
        "Node": [
            ("metadata", 1, message, ".theirs.Metadata"),
            ("roles", 2, enum_as_number, "repeated"),
            ("grpc_address", 3, text, ""),
            ("http_address", 4, text, ""),
            ("created_at", 5, message, ".theirs.Moment"),
            ("labels", 6, message, ".theirs.Node.LabelsEntry"),
            ("property_repair_gossip_grpc_address", 7, text, ""),
        ],
        "Answer": [("node", 1, message, ".theirs.Node")],
    }
    for name, fields in shapes.items():
        made = file.message_type.add(name=name)
        for field, at, kind, of in fields:
            is_list = of == "repeated" or field == "labels"
            added = made.field.add(name=field, number=at, type=kind, label=repeated if is_list else 1)  # type: ignore[arg-type]
            if of.startswith("."):
                added.type_name = of
        if name == "Node":
            is_map = descriptor_pb2.MessageOptions(map_entry=True)
            entry = made.nested_type.add(name="LabelsEntry", options=is_map)
            entry.field.add(name="key", number=1, type=text, label=1)  # type: ignore[arg-type]
            entry.field.add(name="value", number=2, type=text, label=1)  # type: ignore[arg-type]
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("theirs.Answer"))


ANSWER = peers_shape()


def current_node(address: str) -> Any:
    """What the discovery is told."""
    with Stock(address) as stock:
        # It asks for the health of the whole server first. 1 is SERVING.
        assert stock.raw_unary(HEALTH, b"") == b"\x08\x01"
        return ANSWER.FromString(stock.raw_unary(CURRENT_NODE, b"")).node


@pytest.mark.parametrize("name", ["a", "127.0.0.1:17912", "[::1]:17912"])
def test_the_discovery_of_a_peer_admits_a_node(nodes: Nodes, name: str) -> None:
    before = time.time()
    (node,) = nodes.start(name, groups=["sw:1:1"], data_dir=nodes.directory / "data")
    told = current_node(node.address)
    assert told.metadata.name == name
    assert list(told.roles) == [2]
    assert told.grpc_address == told.property_repair_gossip_grpc_address == node.address
    assert before - 1 < told.created_at.seconds < time.time() + 1
    assert dict(told.labels) == {}
    assert told.http_address == ""


def test_nodes_may_be_called_as_the_peer_calls_its_own(nodes: Nodes) -> None:
    names = ["127.0.0.1:17912", "[::1]:17912", "data-0.banyandb.example:17912"]
    first, second, _ = nodes.start(*names, groups=["sw:1:3"])
    with Stock(first.address) as stock, Stock(second.address) as other:
        stock.apply(property_of("sw", "n", "1", {"k": 1}))
        other.apply(property_of("sw", "n", "2", {"k": 2}))
        done = stock.repair("sw")
        # Each write went to all three replicas, so that there may be nothing to repair.
        assert done.outcome in ("repaired", "converged")
        assert done.origin == names[0]
        assert {hop.to for hop in done.hops} <= set(names)
        assert {record.id for record in stock.query("sw", limit=10)} == {"1", "2"}


def test_a_node_that_stops_is_not_admitted(nodes: Nodes) -> None:
    (node,) = nodes.start("a", groups=["sw:1:1"])
    node.kill()
    with pytest.raises(grpc.RpcError):
        current_node(node.address)
