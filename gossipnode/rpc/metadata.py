"""gRPC's own fields: timeouts, statuses and user metadata, to and from header fields.

The coding is grpclib's, and a comment says why where ours differs. Nothing here knows of a connection.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from grpclib.const import Status
from grpclib.metadata import decode_grpc_message, decode_timeout, encode_grpc_message, encode_metadata

from gossipnode.rpc.head import Fields, Head
from gossipnode.rpc.status import RpcError

CONTENT_TYPE: Final = b"application/grpc+proto"
ACCEPTED_CONTENT_TYPES: Final = frozenset(["application/grpc", "application/grpc+proto"])
ACCEPTED_ENCODINGS: Final = ("identity", "gzip")
RESPONSE_FIELDS: Final[Fields] = ((b":status", b"200"), (b"content-type", CONTENT_TYPE))
#: Names of fields that would say something of the connection (RFC 9113, 8.2.2) or of the request as a whole.
CONNECTION_FIELDS: Final = frozenset(
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
)
_HTTP2_NAMES: Final = CONNECTION_FIELDS | {"content-length", "host"}
# Who sends metadata mostly sends the same with every call, and checking its characters takes long.
_METADATA_REMEMBERED: Final = 64
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]")
_UNITS: Final = ((1e-6, "u"), (1e-3, "m"))
# An amount that needs more than four digits is given in the next coarser unit.
_UNIT_FROM: Final = 10_000
# An amount is rounded up to this number of digits.
_ROUNDED_DIGITS: Final = 2
_MAX_TIMEOUT_DIGITS_VALUE: Final = 99_999_999
_STATUSES: Final = {str(status.value): status for status in Status}
_STATUS_FIELDS: Final[dict[Status, Fields]] = {
    status: ((b"grpc-status", str(status.value).encode()),) for status in Status
}
_TRAILERS_ONLY_FIELDS: Final[dict[Status, Fields]] = {
    status: RESPONSE_FIELDS + fields for status, fields in _STATUS_FIELDS.items()
}
# The message of a status is a header: a long one could make the peer refuse the whole block.
_MAX_STATUS_MESSAGE_CHARS: Final = 1024


def encode_timeout(seconds: float) -> str:
    """`seconds` as a grpc-timeout value, rounded up to two digits.

    Rounding leaves few distinct values, which keep their place in the header tables (gRPC's core does the
    same). The caller enforces the exact deadline itself: the peer's may be a little later, but never earlier.
    """
    if seconds <= 0:
        return "0u"
    amount, unit = next(
        ((seconds / scale, unit) for scale, unit in _UNITS if seconds / scale < _UNIT_FROM), (seconds, "S")
    )
    step = 10 ** max(0, math.floor(math.log10(max(amount, 1))) - (_ROUNDED_DIGITS - 1))
    rounded = math.ceil(round(amount / step, 6)) * step
    return f"{min(rounded, _MAX_TIMEOUT_DIGITS_VALUE)}{unit}"


def parse_timeout(head: Head) -> float | None:
    """The seconds of a request's grpc-timeout, None if it has none. Raises ValueError for a malformed one."""
    value = head.fields.get("grpc-timeout")
    if value is None:
        return None
    if _TIMEOUT.fullmatch(value) is None:
        raise ValueError("malformed grpc-timeout")
    return decode_timeout(value)


def encode_user_metadata(metadata: Mapping[str, str | bytes] | None) -> list[tuple[str, str]]:
    """User metadata as header fields. Raises ValueError or TypeError for what gRPC forbids in them."""
    if not metadata:
        return []
    return list(_encoded(tuple(metadata.items())))


@lru_cache(maxsize=_METADATA_REMEMBERED)
def _encoded(metadata: tuple[tuple[str, str | bytes], ...]) -> tuple[tuple[str, str], ...]:
    if reserved := _HTTP2_NAMES.intersection(name for name, _ in metadata):
        raise ValueError(f"metadata has a name that HTTP/2 keeps for itself: {min(reserved)}")
    return tuple(encode_metadata(metadata))


def status_fields(
    error_status: Status, message: str, headers_sent: bool
) -> tuple[Fields, list[tuple[str, str]]]:
    """The fields that end a call, which start the response as well unless `headers_sent`."""
    fields = (_STATUS_FIELDS if headers_sent else _TRAILERS_ONLY_FIELDS)[error_status]
    if not message:
        return fields, []
    # Text with lone surrogates, such as a path that is no UTF-8, is no Unicode.
    text = message[:_MAX_STATUS_MESSAGE_CHARS].encode(errors="replace").decode()
    return fields, [("grpc-message", encode_grpc_message(text))]


def status_error(head: Head) -> RpcError | None:
    """The error that trailers report, None for OK."""
    text = head.fields.get("grpc-status")
    if text == "0":
        return None
    if text is None:
        return RpcError(Status.UNKNOWN, "the peer ended the call without a status")
    message = decode_grpc_message(head.fields.get("grpc-message", ""))
    return RpcError(_STATUSES.get(text, Status.UNKNOWN), message, trailing_metadata=head.metadata)
