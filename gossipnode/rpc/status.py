"""How a call ends: gRPC statuses, and the one exception that carries them.

`Status` is grpclib's, and `RpcError` extends grpclib's `GRPCError`, so that generated code and this room
speak of the same thing. Nothing here may turn a cancellation into a status.
"""

from collections.abc import Mapping
from typing import cast

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.errors import ErrorCodes

__all__ = ["ConnectionFault", "ErrorCodes", "RpcError", "Status", "StreamFault", "find_rpc_error"]

MetadataValue = str | bytes
Metadata = Mapping[str, MetadataValue]

NO_METADATA: Metadata = {}

# A stream reset has no status of its own; these are gRPC's readings of the HTTP/2 error codes
# (PROTOCOL-HTTP2.md, "HTTP2 Transport Mapping"). All others are INTERNAL.
_RESET_STATUS: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}

# The same for HTTP statuses other than 200 (http-grpc-status-mapping.md). All others are UNKNOWN.
_HTTP_STATUS: dict[str, Status] = {
    "400": Status.INTERNAL,
    "401": Status.UNAUTHENTICATED,
    "403": Status.PERMISSION_DENIED,
    "404": Status.UNIMPLEMENTED,
    "429": Status.UNAVAILABLE,
    "502": Status.UNAVAILABLE,
    "503": Status.UNAVAILABLE,
    "504": Status.UNAVAILABLE,
}


class RpcError(GRPCError):
    """A call that did not end in OK.

    A handler raises it to answer with a status; a client meets it where a call failed. `never_processed`
    is true only when the server certainly did not start the call, so that repeating it is always safe.
    """

    status: Status
    message: str
    trailing_metadata: Metadata
    never_processed: bool

    def __init__(
        self,
        status: Status,
        message: str = "",
        *,
        trailing_metadata: Metadata = NO_METADATA,
        never_processed: bool = False,
    ) -> None:
        super().__init__(status, message)
        self.trailing_metadata = trailing_metadata
        self.never_processed = never_processed

    def __str__(self) -> str:
        return f"{self.status.name}: {self.message}" if self.message else self.status.name


class ConnectionFault(Exception):  # noqa: N818 - the peer's fault, not an error of ours
    """The peer broke the protocol so that the whole connection must end with `code`."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):  # noqa: N818
    """The peer broke the protocol within one stream, which must be reset with `code`."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


def reset_error(code: int) -> RpcError:
    """What a client reports when the server reset the stream with the HTTP/2 error `code`."""
    status = _RESET_STATUS.get(code, Status.INTERNAL)
    name = ErrorCodes(code).name if code in ErrorCodes._value2member_map_ else str(code)
    return RpcError(
        status, f"stream reset by the peer: {name}", never_processed=code == ErrorCodes.REFUSED_STREAM
    )


def http_error(http_status: str) -> RpcError:
    """What a client reports when the answer is not an HTTP 200."""
    return RpcError(_HTTP_STATUS.get(http_status, Status.UNKNOWN), f"the peer answered HTTP {http_status}")


def find_rpc_error(error: BaseException) -> GRPCError | None:
    """The first gRPC error in `error`, looking into exception groups; None if there is none.

    A handler that works in a nursery raises its status inside a group: the status must survive that.
    """
    if isinstance(error, GRPCError):
        return error
    for child in grouped(error):
        if (found := find_rpc_error(child)) is not None:
            return found
    return None


def grouped(error: BaseException) -> tuple[BaseException, ...]:
    """What an exception group holds; () for any other exception."""
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions
