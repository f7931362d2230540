"""Server reflection: a node describes its own services to tools that do not have protos/.

Descriptors come from the pool of the generated code, never from the runtime's default pool, where a program
may hold other ones of the same names. A service that the node does not serve must never be listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from google.protobuf.descriptor import EnumDescriptor, FileDescriptor
from google.protobuf.message import DecodeError

from gossipnode.rpc import Cardinality, Method, Status
from gossipnode.wire.generated.pb.banyandb.database.v1 import rpc_pb2 as discovery_pb2
from gossipnode.wire.generated.pb.banyandb.property.v1 import gossip_pb2, repair_pb2, rpc_pb2
from gossipnode.wire.generated.pb.gossipnode.v1 import (
    access_pb2,
    node_pb2,
    reconcile_pb2,
    replica_pb2,
    watch_pb2,
)
from gossipnode.wire.generated.pb.grpc.health.v1 import health_pb2
from gossipnode.wire.generated.pb.grpc.reflection.v1 import reflection_pb2
from gossipnode.wire.generated.pb.grpc.reflection.v1.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)
from gossipnode.wire.generated.pb.grpc.reflection.v1alpha import reflection_pb2 as alpha_pb2
from gossipnode.wire.wire_errors import WireError

REQUEST_MAX_BYTES: Final = 4096
"""The largest question, which is a name or two. Its answer repeats it, so its size must be bounded."""

_FILES: Final = (
    access_pb2.DESCRIPTOR,
    discovery_pb2.DESCRIPTOR,
    gossip_pb2.DESCRIPTOR,
    repair_pb2.DESCRIPTOR,
    rpc_pb2.DESCRIPTOR,
    node_pb2.DESCRIPTOR,
    reconcile_pb2.DESCRIPTOR,
    replica_pb2.DESCRIPTOR,
    watch_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
    alpha_pb2.DESCRIPTOR,
)
"""Every file with services."""


def _decode_request(data: bytes) -> ServerReflectionRequest:
    if len(data) > REQUEST_MAX_BYTES:
        raise WireError(f"ServerReflectionRequest: {len(data)} bytes, over {REQUEST_MAX_BYTES}")
    try:
        return ServerReflectionRequest.FromString(data)
    except DecodeError:
        raise WireError("ServerReflectionRequest: malformed, or with text that is not UTF-8") from None


def _decode_reply(data: bytes) -> ServerReflectionResponse:
    try:
        return ServerReflectionResponse.FromString(data)
    except DecodeError:
        raise WireError("ServerReflectionResponse: malformed, or with text that is not UTF-8") from None


REFLECT: Final[Method[ServerReflectionRequest, ServerReflectionResponse]] = Method(
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    Cardinality.STREAM_STREAM,
    ServerReflectionRequest.SerializeToString,
    _decode_request,
    ServerReflectionResponse.SerializeToString,
    _decode_reply,
)
REFLECT_ALPHA: Final = replace(REFLECT, path="/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
"""The older name of the same method: its messages are the same on the wire."""


class Reflection:
    """Answers questions about the services that some methods belong to."""

    def __init__(self, paths: Iterable[str]) -> None:
        """Describe the services that the methods at these `paths` belong to.

        Raises:
            ValueError: the service of a path is not in protos/.
        """
        self._files = {file.name: file for root in _FILES for file in _with_needed(root)}
        self._symbols = {symbol: file for file in self._files.values() for symbol in _symbols(file)}
        self._services = sorted({path.split("/")[1] for path in paths})
        if unknown := [name for name in self._services if name not in self._symbols]:
            raise ValueError(f"no descriptors of {', '.join(unknown)}")

    def answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """The answer to one question, if need be an `error_response`. The call goes on."""
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        match request.WhichOneof("message_request"):
            case "list_services":
                services = [ServiceResponse(name=name) for name in self._services]
                response.list_services_response.service.extend(services)
            case "file_by_filename":
                name = request.file_by_filename
                _describe(response, self._files.get(name), f"file {name[:80]!r}")
            case "file_containing_symbol":
                name = request.file_containing_symbol
                _describe(response, self._symbols.get(name), f"symbol {name[:80]!r}")
            case "file_containing_extension" | "all_extension_numbers_of_type":
                _refuse(response, Status.NOT_FOUND, "there are no extensions here")
            case _:
                _refuse(response, Status.INVALID_ARGUMENT, "message_request: expected a question")
        return response


def _describe(response: ServerReflectionResponse, file: FileDescriptor | None, what: str) -> None:
    if file is None:
        _refuse(response, Status.NOT_FOUND, f"no {what} here")
        return
    described = [each.serialized_pb for each in _with_needed(file)]
    response.file_descriptor_response.file_descriptor_proto.extend(described)


def _refuse(response: ServerReflectionResponse, status: Status, message: str) -> None:
    response.error_response.error_code = status.value
    response.error_response.error_message = message


def _with_needed(file: FileDescriptor) -> Iterable[FileDescriptor]:
    """A file and all files that it needs, each once, the file itself first."""
    found = {file.name: file}
    left = [file]
    while left:
        for needed in left.pop().dependencies:
            if needed.name not in found:
                found[needed.name] = needed
                left.append(needed)
    return found.values()


def _symbols(file: FileDescriptor) -> Iterator[str]:
    """The full name of everything that a file defines. The pool itself finds no methods and no fields."""
    for service in file.services_by_name.values():
        yield service.full_name
        yield from (method.full_name for method in service.methods)
    yield from _of_enums(file.enum_types_by_name.values())
    messages = list(file.message_types_by_name.values())
    while messages:
        message = messages.pop()
        yield message.full_name
        yield from (field.full_name for field in message.fields)
        yield from (oneof.full_name for oneof in message.oneofs)
        yield from _of_enums(message.enum_types)
        messages += message.nested_types


def _of_enums(enums: Iterable[EnumDescriptor]) -> Iterator[str]:
    for enum in enums:
        yield enum.full_name
        # A value stands beside its enum, not within it.
        scope = enum.full_name.rpartition(".")[0]
        yield from (f"{scope}.{value.name}" for value in enum.values)
