"""The methods of the interop cases, on messages that are made of `interop.proto` at the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from gossipnode.rpc.method import Cardinality, Method

PACKAGE: Final = "grpc.testing"
PROTO: Final = Path(__file__).with_name("interop.proto")
# The metadata that a server sends back, with its head and with its status.
ECHOED_INITIAL: Final = "x-grpc-test-echo-initial"
ECHOED_TRAILING: Final = "x-grpc-test-echo-trailing-bin"

Message = Any


def _message_classes() -> Callable[[str], type[Message]]:
    with TemporaryDirectory(prefix="interop-") as folder:
        described = Path(folder, "interop.desc")
        if protoc.main(["", f"-I{PROTO.parent}", f"--descriptor_set_out={described}", str(PROTO)]):
            raise RuntimeError(f"{PROTO} cannot be compiled")
        files = FileDescriptorSet.FromString(described.read_bytes()).file
    pool = DescriptorPool()
    for file in files:
        pool.Add(file)
    return lambda name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


_class_of = _message_classes()

Empty = _class_of("Empty")
EchoStatus = _class_of("EchoStatus")
Payload = _class_of("Payload")
ResponseParameters = _class_of("ResponseParameters")
SimpleRequest = _class_of("SimpleRequest")
SimpleResponse = _class_of("SimpleResponse")
InputRequest = _class_of("StreamingInputCallRequest")
InputResponse = _class_of("StreamingInputCallResponse")
OutputRequest = _class_of("StreamingOutputCallRequest")
OutputResponse = _class_of("StreamingOutputCallResponse")


def _decoder(kind: type[Message]) -> Callable[[bytes], Message]:
    def decode(data: bytes) -> Message:
        try:
            return kind.FromString(data)
        except DecodeError as error:
            raise ValueError(str(error)) from error

    return decode


def _method(
    name: str,
    cardinality: Cardinality,
    request: type[Message],
    reply: type[Message],
    service: str = "TestService",
) -> Method[Message, Message]:
    return Method(
        f"/{PACKAGE}.{service}/{name}",
        cardinality,
        request.SerializeToString,
        _decoder(request),
        reply.SerializeToString,
        _decoder(reply),
    )


EMPTY_CALL: Final = _method("EmptyCall", Cardinality.UNARY_UNARY, Empty, Empty)
UNARY_CALL: Final = _method("UnaryCall", Cardinality.UNARY_UNARY, SimpleRequest, SimpleResponse)
OUTPUT_CALL: Final = _method("StreamingOutputCall", Cardinality.UNARY_STREAM, OutputRequest, OutputResponse)
INPUT_CALL: Final = _method("StreamingInputCall", Cardinality.STREAM_UNARY, InputRequest, InputResponse)
DUPLEX_CALL: Final = _method("FullDuplexCall", Cardinality.STREAM_STREAM, OutputRequest, OutputResponse)
# Nobody serves these two.
UNKNOWN_METHOD: Final = _method("UnimplementedCall", Cardinality.UNARY_UNARY, Empty, Empty)
UNKNOWN_SERVICE: Final = _method(
    "UnimplementedCall", Cardinality.UNARY_UNARY, Empty, Empty, "UnimplementedService"
)
