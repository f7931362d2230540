"""The methods of the services, against the services that protos/ declares."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from grpclib.const import Cardinality

from gossipnode.core.session.messages import RootCompare, WaitNextDiffer
from gossipnode.rpc import Method
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as node
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import FILES, GENERATED

METHODS: dict[str, Method[Any, Any]] = {
    name: method for name, method in vars(services).items() if isinstance(method, Method) and name.isupper()
}


def declared() -> dict[str, Cardinality]:
    """Path and shape of every method in protos/, from the descriptors of Google's view."""
    found: dict[str, Cardinality] = {}
    for package, files in FILES.items():
        for file in files:
            module = importlib.import_module(f"{GENERATED}.pb.{package}.{file}_pb2")
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    shape = Cardinality((method.client_streaming, method.server_streaming))
                    found[f"/{service.full_name}/{method.name}"] = shape
    return found


def test_every_method_of_the_protos_is_there_with_its_shape() -> None:
    assert {method.path: method.cardinality for method in METHODS.values()} == declared()


def test_paths_are_the_ones_on_the_wire() -> None:
    assert services.APPLY.path == "/banyandb.property.v1.PropertyService/Apply"
    assert services.REPAIR.path == "/banyandb.property.v1.RepairService/Repair"
    assert services.REPAIR.cardinality is Cardinality.STREAM_STREAM
    assert services.PROPAGATION.path == "/banyandb.property.v1.GossipService/Propagation"
    assert services.NODE_TREE.path == "/gossipnode.v1.NodeService/Tree"
    assert services.NODE_TREE.cardinality is Cardinality.UNARY_STREAM
    assert services.CURRENT_NODE.path == "/banyandb.database.v1.NodeQueryService/GetCurrentNode"
    assert services.REPORT.path == "/gossipnode.v1.RoundService/Report"


@pytest.mark.parametrize("name", METHODS)
def test_requests_are_read_strictly(name: str) -> None:
    with pytest.raises(WireError):
        METHODS[name].decode_request(b"\x0a")
    with pytest.raises(WireError):
        METHODS[name].decode_reply(b"\x0a")


def test_messages_pass_through_their_codecs() -> None:
    request = banyandb.ApplyRequest(
        property=b"\x12\x01i", strategy=banyandb.ApplyRequestStrategy.STRATEGY_MERGE
    )
    assert services.APPLY.encode_request(request) == b"\x0a\x03\x12\x01i\x10\x01"
    assert services.APPLY.decode_request(b"\x0a\x03\x12\x01i\x10\x01") == request
    batch = node.RecordBatch(records=[node.Record(property=b"\x12\x01i", delete_time=3)])
    assert services.NODE_QUERY.decode_reply(services.NODE_QUERY.encode_reply(batch)) == batch
    assert (
        services.REPAIR.decode_request(services.REPAIR.encode_request(WaitNextDiffer())) == WaitNextDiffer()
    )
    assert services.REPAIR.decode_reply(
        services.REPAIR.encode_reply(RootCompare(True, False))
    ) == RootCompare(True, False)


def test_a_method_that_the_service_lacks_fails_at_once() -> None:
    with pytest.raises(
        TypeError, match=r"PropertyServiceBase has no Apply\(DeleteRequest\) -> ApplyResponse"
    ):
        services._method(
            banyandb.PropertyServiceBase, "Apply", banyandb.DeleteRequest, banyandb.ApplyResponse
        )
