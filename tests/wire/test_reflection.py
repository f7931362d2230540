"""Reflection tells enough to build every message and to call every method, and nothing that is not served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.rpc import Cardinality
from gossipnode.rpc.server import health
from gossipnode.wire import services
from gossipnode.wire.generated.pb.grpc.health.v1 import health_pb2
from gossipnode.wire.generated.pb.grpc.reflection.v1 import reflection_pb2
from gossipnode.wire.generated.pb.grpc.reflection.v1.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from gossipnode.wire.generated.pb.grpc.reflection.v1alpha import reflection_pb2 as alpha_pb2
from gossipnode.wire.reflection import REFLECT, REFLECT_ALPHA, REQUEST_MAX_BYTES, Reflection
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import examples

PROTOS = Path(__file__).resolve().parent.parent.parent / "protos"
SERVED = [services.QUERY, services.NODE_QUERY, health.CHECK, health.WATCH, REFLECT, REFLECT_ALPHA]
REFLECTION = Reflection(method.path for method in SERVED)
NOT_FOUND, INVALID_ARGUMENT = 5, 3


def ask(**question: object) -> ServerReflectionResponse:
    return REFLECTION.answer(ServerReflectionRequest(**question))  # type: ignore[arg-type]


def files(**question: object) -> list[FileDescriptorProto]:
    answer = ask(**question)
    assert not answer.HasField("error_response"), answer.error_response
    return [
        FileDescriptorProto.FromString(each) for each in answer.file_descriptor_response.file_descriptor_proto
    ]


def pool_of(described: Iterable[FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """A pool of these files alone; it refuses a file with an import that is missing."""
    pool = descriptor_pool.DescriptorPool()
    left = {file.name: file for file in described}
    while left:
        ready = [file for file in left.values() if not left.keys() & set(file.dependency)]
        assert ready, f"imports in a circle: {list(left)}"
        for file in ready:
            pool.AddSerializedFile(left.pop(file.name).SerializeToString())
    return pool


def test_the_services_of_the_methods_are_listed_and_no_others() -> None:
    listed = ask(list_services="anything").list_services_response.service
    assert [service.name for service in listed] == [
        "banyandb.property.v1.PropertyService",
        "gossipnode.v1.NodeService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


def test_a_service_without_descriptors_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"no descriptors of other\.Service"):
        Reflection([services.QUERY.path, "/other.Service/Call"])


@pytest.mark.parametrize(
    "name", sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
)
def test_a_file_comes_first_and_with_all_that_it_needs(name: str) -> None:
    described = files(file_by_filename=name)
    assert described[0].name == name
    assert len({file.name for file in described}) == len(described)
    assert pool_of(described).FindFileByName(name).package == described[0].package


def test_well_known_files_are_there_too() -> None:
    for name in ("google/protobuf/timestamp.proto", "google/protobuf/struct.proto"):
        (file,) = files(file_by_filename=name)
        assert (file.name, file.package) == (name, "google.protobuf")


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("gossipnode.v1.NodeService", "gossipnode/v1/node.proto"),
        ("gossipnode.v1.NodeService.Query", "gossipnode/v1/node.proto"),
        ("gossipnode.v1.TreeResponse", "gossipnode/v1/node.proto"),
        ("gossipnode.v1.TreeResponse.Leaf", "gossipnode/v1/node.proto"),
        ("gossipnode.v1.TreeResponse.Leaf.sha", "gossipnode/v1/node.proto"),
        ("gossipnode.v1.RoundEvent.event", "gossipnode/v1/node.proto"),
        ("banyandb.property.v1.QueryOrder.sort", "banyandb/property/v1/rpc.proto"),
        ("banyandb.model.v1.Sort", "banyandb/model/v1/query.proto"),
        ("banyandb.model.v1.SORT_DESC", "banyandb/model/v1/query.proto"),
        ("banyandb.property.v1.ApplyRequest.Strategy", "banyandb/property/v1/rpc.proto"),
        ("banyandb.property.v1.ApplyRequest.STRATEGY_MERGE", "banyandb/property/v1/rpc.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("google.protobuf.NULL_VALUE", "google/protobuf/struct.proto"),
        ("grpc.health.v1.Health.Watch", "grpc/health/v1/health.proto"),
    ],
)
def test_the_file_of_a_symbol(symbol: str, file: str) -> None:
    described = files(file_containing_symbol=symbol)
    assert described[0].name == file
    assert [each.name for each in described] == [each.name for each in files(file_by_filename=file)]


@pytest.mark.parametrize(
    "method", [*SERVED, services.REPORT, services.PROPAGATION, services.REPAIR], ids=lambda m: str(m.path)
)
def test_a_method_is_described_as_it_is_served(method: services.Method[object, object]) -> None:
    service, name = method.path.removeprefix("/").split("/")
    found = pool_of(files(file_containing_symbol=service)).FindServiceByName(service).methods_by_name[name]
    shape = Cardinality((found.client_streaming, found.server_streaming))
    assert shape is method.cardinality
    assert found.input_type.full_name
    assert found.output_type.full_name


@pytest.mark.parametrize(
    ("question", "code", "words"),
    [
        ({"file_by_filename": "node.proto"}, NOT_FOUND, "no file 'node.proto' here"),
        ({"file_by_filename": ""}, NOT_FOUND, "no file"),
        ({"file_containing_symbol": "gossipnode.v1.Nothing"}, NOT_FOUND, "no symbol 'gossipnode.v1.Nothing'"),
        ({"file_containing_symbol": "gossipnode.v1"}, NOT_FOUND, "no symbol"),
        ({"file_containing_symbol": "a" * 200}, NOT_FOUND, "a" * 80 + "'"),
        (
            {"file_containing_extension": {"containing_type": "gossipnode.v1.Record", "extension_number": 1}},
            NOT_FOUND,
            "extensions",
        ),
        ({"all_extension_numbers_of_type": "gossipnode.v1.Record"}, NOT_FOUND, "extensions"),
        ({}, INVALID_ARGUMENT, "message_request"),
    ],
)
def test_what_cannot_be_answered_is_said_in_the_answer(
    question: dict[str, object], code: int, words: str
) -> None:
    answer = ask(host="h", **question)
    assert answer.WhichOneof("message_response") == "error_response"
    assert answer.error_response.error_code == code
    assert words in answer.error_response.error_message
    assert len(answer.error_response.error_message) < 120


@examples(100)
@given(st.text(max_size=50), st.sampled_from(["file_by_filename", "file_containing_symbol"]))
def test_every_text_has_an_answer_and_comes_back_with_it(text: str, kind: str) -> None:
    request = ServerReflectionRequest(host="h", **{kind: text})  # type: ignore[arg-type]
    answer = REFLECTION.answer(request)
    assert answer.error_response.error_code == NOT_FOUND
    assert (answer.valid_host, answer.original_request) == ("h", request)


def test_the_bytes_of_the_well_known_service() -> None:
    """Field numbers are written by hand here: in the other tests both ends could have the same wrong ones."""
    request = REFLECT.decode_request(b"\x0a\x01h\x22\x03a.b")
    assert (request.host, request.file_containing_symbol) == ("h", "a.b")
    assert REFLECT.decode_request(b"\x1a\x01f").file_by_filename == "f"
    assert (
        REFLECT.decode_request(b"\x2a\x05\x0a\x01t\x10\x07").file_containing_extension.extension_number == 7
    )
    assert REFLECT.decode_request(b"\x32\x01t").all_extension_numbers_of_type == "t"
    assert REFLECT.decode_request(b"\x3a\x00").WhichOneof("message_request") == "list_services"
    listed = REFLECT.encode_reply(Reflection([health.CHECK.path]).answer(REFLECT.decode_request(b"\x3a\x00")))
    assert listed == b"\x12\x02\x3a\x00\x32\x19\x0a\x17\x0a\x15grpc.health.v1.Health"
    described = ServerReflectionResponse()
    described.file_descriptor_response.file_descriptor_proto.append(b"x")
    assert described.SerializeToString() == b"\x22\x03\x0a\x01x"
    refused = ServerReflectionResponse()
    refused.error_response.error_code, refused.error_response.error_message = 5, "e"
    assert refused.SerializeToString() == b"\x3a\x05\x08\x05\x12\x01e"


def test_both_names_of_the_service_have_the_same_messages() -> None:
    old, new = FileDescriptorProto(), FileDescriptorProto()
    alpha_pb2.DESCRIPTOR.CopyToProto(old)
    reflection_pb2.DESCRIPTOR.CopyToProto(new)
    renamed = str(old).replace("v1alpha", "v1")
    assert renamed == str(new)
    assert REFLECT.path == "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    assert REFLECT_ALPHA.path == "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x3a", "malformed"),
        (b"\x3a\x05ab", "malformed"),
        (b"\x3a\x01\xff", "UTF-8"),
        (b"\x3a\xff\x20" + bytes(REQUEST_MAX_BYTES), f"over {REQUEST_MAX_BYTES}"),
    ],
)
def test_questions_that_are_none(data: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words):
        REFLECT.decode_request(data)


def test_an_answer_that_is_none() -> None:
    with pytest.raises(WireError, match="malformed"):
        REFLECT.decode_reply(b"\x22")


@pytest.mark.parametrize("status", list(health.ServingStatus))
def test_health_is_described_as_it_is_coded(status: health.ServingStatus) -> None:
    assert health_pb2.HealthCheckResponse.FromString(health.encode_reply(status)).status == status
    assert health_pb2.HealthCheckResponse.ServingStatus.Name(status) == status.name
    assert health_pb2.HealthCheckRequest.FromString(health.encode_request("a.b")).service == "a.b"
