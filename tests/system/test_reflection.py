"""A stock gRPC client without protos/ learns all services from the node by reflection, and calls them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.system.nodes import Nodes
from tests.system.processes import WAIT_SECONDS, Node
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import own, property_of

pytestmark = pytest.mark.slow

PATHS = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]


def _messages() -> tuple[Any, Any]:
    """The messages of reflection, from Google's package if it is there, or else made by hand."""
    try:
        from grpc_reflection.v1alpha import reflection_pb2
    except ImportError:
        return _messages_by_hand()
    return reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse


def _messages_by_hand() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="by_hand.proto", package="by.hand", syntax="proto3")
    text, blob, number, message = 9, 12, 5, 11
    shapes: dict[str, list[tuple[str, int, int, str, bool]]] = {
        "Question": [
            ("file_by_filename", 3, text, "", False),
            ("file_containing_symbol", 4, text, "", False),
            ("list_services", 7, text, "", False),
        ],
        "Files": [("file_descriptor_proto", 1, blob, "", True)],
        "Service": [("name", 1, text, "", False)],
        "Services": [("service", 1, message, ".by.hand.Service", True)],
        "Error": [("error_code", 1, number, "", False), ("error_message", 2, text, "", False)],
        "Answer": [
            ("original_request", 2, message, ".by.hand.Question", False),
            ("file_descriptor_response", 4, message, ".by.hand.Files", False),
            ("list_services_response", 6, message, ".by.hand.Services", False),
            ("error_response", 7, message, ".by.hand.Error", False),
        ],
    }
    for name, fields in shapes.items():
        made = file.message_type.add(name=name)
        if name == "Question":
            made.oneof_decl.add(name="message_request")
        for field, field_number, kind, type_name, repeated in fields:
            added = made.field.add(name=field, number=field_number, type=kind, label=3 if repeated else 1)  # type: ignore[arg-type]
            if type_name:
                added.type_name = type_name
            if name == "Question":
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    question, answer = (pool.FindMessageTypeByName(f"by.hand.{name}") for name in ("Question", "Answer"))
    return message_factory.GetMessageClass(question), message_factory.GetMessageClass(answer)


Question, Answer = _messages()


class Tool:
    """Does what a tool such as grpcurl does with a node."""

    def __init__(self, stock: Stock, path: str) -> None:
        self.stock = stock
        self._call = stock.channel.stream_stream(
            path, request_serializer=Question.SerializeToString, response_deserializer=Answer.FromString
        )
        self._pool = descriptor_pool.DescriptorPool()
        self._known: set[str] = set()

    def ask(self, **question: str) -> Any:
        (answer,) = self._call(
            iter([Question(**question)]), timeout=WAIT_SECONDS, metadata=self.stock.metadata
        )
        return answer

    def services(self) -> list[str]:
        return [service.name for service in self.ask(list_services="").list_services_response.service]

    def service(self, name: str) -> Any:
        """The descriptor of a service, with all that its messages need."""
        described = [
            descriptor_pb2.FileDescriptorProto.FromString(each)
            for each in self.ask(file_containing_symbol=name).file_descriptor_response.file_descriptor_proto
        ]
        left = {file.name: file for file in described if file.name not in self._known}
        while left:
            for file in [file for file in left.values() if not left.keys() & set(file.dependency)]:
                self._pool.AddSerializedFile(left.pop(file.name).SerializeToString())
                self._known.add(file.name)
        return self._pool.FindServiceByName(name)

    def methods(self) -> list[Any]:
        return [method for name in self.services() for method in self.service(name).methods]

    def start(self, method: Any, *requests: Any) -> Any:
        """Call a method with messages built from descriptors. Gives an iterator over its answers."""
        call = self.stock.channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        return call(iter(requests), timeout=WAIT_SECONDS, metadata=self.stock.metadata)

    def call(self, method: Any, **fields: object) -> Any:
        (answer,) = self.start(method, message_factory.GetMessageClass(method.input_type)(**fields))
        return answer


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> Node:
    (node,) = module_nodes.start("a", groups=["sw:1:1"])
    return node


@pytest.fixture(params=PATHS, ids=["v1", "v1alpha"])
def tool(request: pytest.FixtureRequest, node: Node) -> Iterator[Tool]:
    with Stock(node.address) as stock:
        yield Tool(stock, request.param)


def test_every_service_and_its_methods_are_found(tool: Tool) -> None:
    services = tool.services()
    assert services == sorted(set(services))
    for name in (
        "banyandb.database.v1.NodeQueryService",
        "banyandb.property.v1.PropertyService",
        "banyandb.property.v1.RepairService",
        "gossipnode.v1.NodeService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ):
        assert name in services
    for name in services:
        for method in tool.service(name).methods:
            described = tool.ask(file_containing_symbol=method.full_name)
            assert not described.HasField("error_response"), method.full_name
    names = [method.name for method in tool.service("banyandb.property.v1.PropertyService").methods]
    assert names == ["Apply", "Delete", "Query"]


def test_a_method_is_called_with_nothing_but_what_the_node_told(tool: Tool) -> None:
    tool.stock.apply(property_of("sw", "reflected", "1", {"k": "v"}))
    service = tool.service("banyandb.property.v1.PropertyService")
    found = tool.call(service.methods_by_name["Query"], groups=["sw"], name="reflected")
    assert [record.id for record in found.properties] == ["1"]
    assert found.properties[0].tags[0].value.str.value == "v"
    assert found.properties[0].updated_at.seconds > 0
    status = tool.call(tool.service("gossipnode.v1.NodeService").methods_by_name["Status"])
    assert (status.node, status.state) == ("a", "ready")
    health = tool.call(tool.service("grpc.health.v1.Health").methods_by_name["Check"])
    assert health.status == 1


def test_every_method_that_is_told_of_is_served(tool: Tool) -> None:
    """Each is called with an empty request. The node may refuse that, but it knows the method."""
    for method in tool.methods():
        call = tool.start(method, message_factory.GetMessageClass(method.input_type)())
        try:
            next(call, None)
        except grpc.RpcError as error:
            assert error.code() is not grpc.StatusCode.UNIMPLEMENTED, method.full_name  # noqa: PT017
        finally:
            call.cancel()


def test_unknown_things_are_said_to_be_unknown(tool: Tool) -> None:
    assert tool.ask(file_containing_symbol="no.such.Thing").error_response.error_code == 5
    assert tool.ask(file_by_filename="no/such.proto").error_response.error_code == 5


@pytest.mark.parametrize("path", PATHS, ids=["v1", "v1alpha"])
def test_another_cluster_learns_nothing(node: Node, path: str) -> None:
    with Stock(node.address, metadata=[("gossipnode-cluster", "other")]) as stock:
        with refused(grpc.StatusCode.PERMISSION_DENIED, "other"):
            Tool(stock, path).services()
        with refused(grpc.StatusCode.PERMISSION_DENIED):
            stock.unary("/gossipnode.v1.NodeService/Status", own.StatusRequest(), own.StatusResponse)
