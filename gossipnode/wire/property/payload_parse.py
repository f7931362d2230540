"""Strict parsing with Google's protobuf runtime, for the messages that are bytes to betterproto.

The runtime takes a known field of the wrong wire type for an unknown field, and keeps it. Here that is an
error; only fields whose numbers we do not know are kept.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.bounds.message_bounds import UNKNOWN_FIELDS_MAX
from gossipnode.wire.property.unknown_fields import check_unknown_fields
from gossipnode.wire.wire_errors import WireError

PbMessage = TypeVar("PbMessage", bound=Message)


class Parsed(NamedTuple, Generic[PbMessage]):
    """A message as it was read. Unknown fields are in `canonical` alone."""

    message: PbMessage
    canonical: bytes
    has_unknown: bool


def parse(
    cls: type[PbMessage], data: bytes, path: str | None = None, *, unknown_max: int = UNKNOWN_FIELDS_MAX
) -> Parsed[PbMessage]:
    """Read a message from all of `data`, and write its canonical bytes: equal content has equal bytes.

    Errors call the message `path`, or by the name of its type.

    Raises:
        CrowdedError: a field holds more elements than it may, which is seen before any is read, or there are
            more than `unknown_max` unknown fields.
        WireError: the bytes are malformed, or a known field has the wrong wire type.
    """
    path = path or cls.__name__
    check_elements(cls, data, path)
    message = _read(cls, data, path)
    message.DiscardUnknownFields()
    canonical = message.SerializeToString(deterministic=True)
    if canonical == data:
        return Parsed(message, canonical, False)
    # The writer was not canonical, or there are unknown fields. Only the latter make the message longer, and
    # only then it is walked through in Python.
    with_unknown = _read(cls, data, path).SerializeToString(deterministic=True)
    if len(with_unknown) == len(canonical):
        return Parsed(message, canonical, False)
    check_unknown_fields(cls, with_unknown, path, unknown_max)
    return Parsed(message, with_unknown, True)


def _read(cls: type[PbMessage], data: bytes, path: str) -> PbMessage:
    try:
        return cls.FromString(data)
    except DecodeError:
        raise WireError(f"{path}: malformed, truncated, or with text that is not UTF-8") from None
