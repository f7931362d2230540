"""The standard health service, grpc.health.v1: Check and Watch.

Its two messages have one field each, so they are coded here by hand, strictly, and need no protobuf. Must
never report a status for a service that was never set.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.server.answer import Handler
from gossipnode.rpc.server.calls import CallContext, ServerStream
from gossipnode.rpc.status import RpcError, Status

_MAX_NAME_BYTES: Final = 1024
# The first byte of either message: field 1 with its wire type.
_STRING_FIELD_1: Final = 0x0A
_VARINT_FIELD_1: Final = 0x08
# A length has seven bits to a byte, the low ones first; this bit says that another byte follows.
_MORE: Final = 0x80
_LOW_BITS: Final = 0x7F


class ServingStatus(IntEnum):
    """HealthCheckResponse.ServingStatus."""

    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


def encode_request(service: str) -> bytes:
    """HealthCheckRequest{string service = 1}."""
    name = service.encode()
    if len(name) > _MAX_NAME_BYTES:
        raise ValueError("service name too long")
    if not name:
        return b""
    size = len(name)
    length = bytes((size,)) if size < _MORE else bytes((size & _LOW_BITS | _MORE, size >> 7))
    return b"%c%b%b" % (_STRING_FIELD_1, length, name)


def decode_request(data: bytes) -> str:
    """The service a HealthCheckRequest asks for. Raises ValueError for anything but its one field."""
    if not data:
        return ""
    if len(data) < 2 or data[0] != _STRING_FIELD_1:
        raise ValueError("not a HealthCheckRequest")
    size, start = data[1], 2
    if size & _MORE:
        if len(data) < 3 or data[2] & _MORE:
            raise ValueError("service name too long")
        size, start = size & _LOW_BITS | data[2] << 7, 3
    if len(data) != start + size or size > _MAX_NAME_BYTES:
        raise ValueError("HealthCheckRequest of a wrong length")
    return data[start:].decode()


def encode_reply(status: ServingStatus) -> bytes:
    """HealthCheckResponse{ServingStatus status = 1}."""
    return bytes((_VARINT_FIELD_1, status)) if status else b""


def decode_reply(data: bytes) -> ServingStatus:
    """The status of a HealthCheckResponse. Raises ValueError for anything else."""
    if not data:
        return ServingStatus.UNKNOWN
    if len(data) != 2 or data[0] != _VARINT_FIELD_1:
        raise ValueError("not a HealthCheckResponse")
    return ServingStatus(data[1])


CHECK: Final = Method(
    "/grpc.health.v1.Health/Check",
    Cardinality.UNARY_UNARY,
    encode_request,
    decode_request,
    encode_reply,
    decode_reply,
)
WATCH: Final = Method(
    "/grpc.health.v1.Health/Watch",
    Cardinality.UNARY_STREAM,
    encode_request,
    decode_request,
    encode_reply,
    decode_reply,
    endless=True,
)


class HealthService:
    """Statuses by service name; "" is the server as a whole."""

    def __init__(self, statuses: Mapping[str, ServingStatus] | None = None) -> None:
        self._statuses = dict(statuses) if statuses is not None else {"": ServingStatus.SERVING}
        self._services: frozenset[str] = frozenset()
        self._changed = ChangeEvent()

    def follow(self, methods: Iterable[Method[Any, Any]]) -> None:
        """Let the services of `methods` have the status of the server as a whole, unless one is set."""
        self._services = frozenset(method.path.split("/")[1] for method in methods)

    def set(self, service: str, status: ServingStatus) -> None:
        """Set a status, and tell every watcher."""
        if self._statuses.get(service) is status:
            return
        self._statuses[service] = status
        self._changed.notify()

    def get(self, service: str) -> ServingStatus | None:
        """The status of `service`, None if it was never set and is not followed."""
        status = self._statuses.get(service)
        return self._statuses.get("") if status is None and service in self._services else status

    def handlers(self) -> dict[Method[Any, Any], Handler]:
        """The entries to add to a server's handlers."""
        return {CHECK: self.check, WATCH: self.watch}

    async def check(self, service: str, call: CallContext) -> ServingStatus:
        """Answer Check: NOT_FOUND for an unknown service."""
        del call
        status = self.get(service)
        if status is None:
            raise RpcError(Status.NOT_FOUND, "unknown service")
        return status

    async def watch(self, stream: ServerStream[str, ServingStatus]) -> None:
        """Answer Watch: the status now and after each change, until the client ends the call."""
        service = await stream.recv()
        if service is None:
            raise RpcError(Status.INVALID_ARGUMENT, "Watch has exactly one request")
        sent: ServingStatus | None = None
        while True:
            change = self._changed.pending
            status = self.get(service)
            if status is None:
                status = ServingStatus.SERVICE_UNKNOWN
            if status is not sent:
                await stream.send(status)
                sent = status
            else:
                await change.wait()
