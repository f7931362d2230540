"""How a call ends: gRPC statuses, and the one exception that carries them.

`Status` is grpclib's, and `RpcError` extends grpclib's `GRPCError`, so that generated code and this package
use the same types. Nothing here may turn a cancellation into a status.
"""

from collections.abc import Mapping
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.errors import ErrorCodes

from gossipnode.concurrency.exception_groups import errors_in

__all__ = [
    "NO_METADATA",
    "Metadata",
    "MetadataValue",
    "RpcError",
    "Status",
    "find_rpc_error",
    "http_error",
    "reset_error",
]

MetadataValue = str | bytes
Metadata = Mapping[str, MetadataValue]

NO_METADATA: Metadata = {}

# A stream reset carries no gRPC status; gRPC says what an HTTP/2 error code means (PROTOCOL-HTTP2.md, "HTTP2
# Transport Mapping"). Every other code means INTERNAL.
_RESET_STATUS: dict[int, Status] = {
    ErrorCodes.REFUSED_STREAM: Status.UNAVAILABLE,
    ErrorCodes.CANCEL: Status.CANCELLED,
    ErrorCodes.ENHANCE_YOUR_CALM: Status.RESOURCE_EXHAUSTED,
    ErrorCodes.INADEQUATE_SECURITY: Status.PERMISSION_DENIED,
}

# The same for HTTP statuses other than 200 (http-grpc-status-mapping.md). Every other one means UNKNOWN.
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


SPEAKS_TLS: Final = "the server speaks TLS alone"
"""How the message of an error ends if the server has told us so."""


class RpcError(GRPCError):
    """A call that did not end in OK.

    A handler raises it to answer with a status, and a client meets it when a call has failed.
    `never_processed` is true only if the server certainly did not start the call: then it is always safe to
    repeat it.
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


def reset_error(code: int) -> RpcError:
    """The error of a call whose stream the peer has reset with the HTTP/2 error `code`."""
    status = _RESET_STATUS.get(code, Status.INTERNAL)
    name = ErrorCodes(code).name if code in ErrorCodes._value2member_map_ else str(code)
    return RpcError(
        status, f"stream reset by the peer: {name}", never_processed=code == ErrorCodes.REFUSED_STREAM
    )


def http_error(http_status: str) -> RpcError:
    """The error of a call whose answer is not an HTTP 200."""
    return RpcError(_HTTP_STATUS.get(http_status, Status.UNKNOWN), f"the peer answered HTTP {http_status}")


def find_rpc_error(error: BaseException) -> GRPCError | None:
    """The first gRPC error in `error`, which may be an exception group; None if there is no such error.

    A handler that works in a nursery raises its status inside a group, and the status must survive that.
    """
    return next((found for found in errors_in(error) if isinstance(found, GRPCError)), None)
