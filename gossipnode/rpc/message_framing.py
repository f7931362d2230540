"""gRPC messages as bytes: each has a prefix of five bytes, a flag for compression and its length.

Pure functions. Messages are never compressed here. One that a client compressed with gzip is inflated, within
the limits of its size and of what it may grow to.
"""

import zlib
from collections.abc import Iterable
from struct import Struct
from typing import Final

from gossipnode.rpc.status import RpcError, Status

MESSAGE_PREFIX_BYTES: Final = 5
#: Messages to ask for where a call allows exactly one: a second one shows that the peer breaks the rule.
ONE_TOO_MANY: Final = 2
# What zlib takes for "a gzip header, and any window".
_GZIP_WINDOW_BITS: Final = 31
# No more messages are cut at once when those that were cut have this number of bytes.
_CUT_BYTES: Final = 256 * 1024
# What a compressed message may grow to, besides the limit of every message: the free bytes, and this multiple
# of its own size. Text and JSON shrink to a tenth or so; only a message made to grow needs more.
_INFLATED_FREE_BYTES: Final = 256 * 1024
_MAX_INFLATED_RATIO: Final = 200
# compressed flag, length
_PREFIX: Final = Struct(">BL")
_pack_prefix = _PREFIX.pack
_unpack_prefix = _PREFIX.unpack_from


def frame_message(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"%b%b" % (_pack_prefix(0, len(message)), message)


def frame_messages(messages: Iterable[bytes]) -> bytes:
    """Several messages, each with its prefix, as one run of bytes."""
    parts: list[bytes] = []
    for message in messages:
        parts.append(_pack_prefix(0, len(message)))
        parts.append(message)
    return b"".join(parts)


def first_message_bytes(buffer: bytearray) -> int:
    """How long the first message in `buffer` will be with its prefix; 0 while the prefix is not here."""
    if len(buffer) < MESSAGE_PREFIX_BYTES:
        return 0
    size: int = _unpack_prefix(buffer)[1]
    return MESSAGE_PREFIX_BYTES + size


def cut_messages(
    buffer: bytearray, max_messages: int, max_message_bytes: int, *, gzip: bool = False
) -> tuple[list[bytes], int]:
    """Up to `max_messages` whole messages at the start of `buffer`, and the bytes that they take up there.

    Beyond 256 KiB, no more of them are cut at once: many large messages would be in memory together.

    `gzip` is whether the peer said that it compresses with it. Compressed messages are cut one at a time, so
    that a few bytes do not become many large messages at once.

    Raises RpcError for a bad first message: RESOURCE_EXHAUSTED if it is longer than `max_message_bytes` or
    grows too much, INTERNAL if it is compressed unannounced or is no gzip. A bad message after good ones
    is left for the next cut.
    """
    messages: list[bytes] = []
    at, end = 0, len(buffer)
    with memoryview(buffer) as view:
        while end - at >= MESSAGE_PREFIX_BYTES and len(messages) < max_messages and at < _CUT_BYTES:
            compressed, size = _unpack_prefix(buffer, at)
            if messages and (compressed or size > max_message_bytes):
                break
            if size > max_message_bytes:
                raise _too_large(size, max_message_bytes)
            if compressed and not (gzip and compressed == 1):
                raise RpcError(Status.INTERNAL, "a message is compressed, but the call names no compression")
            start = at + MESSAGE_PREFIX_BYTES
            if end - start < size:
                break
            at = start + size
            if compressed:
                return [_inflate(bytes(view[start:at]), max_message_bytes)], at
            messages.append(bytes(view[start:at]))
    return messages, at


def _inflate(data: bytes, max_message_bytes: int) -> bytes:
    """What gzip made `data` of. Never more is inflated than the limits allow."""
    limit = min(max_message_bytes, _INFLATED_FREE_BYTES + len(data) * _MAX_INFLATED_RATIO)
    inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        message = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise RpcError(Status.INTERNAL, "a compressed message is no gzip") from error
    if len(message) > limit:
        raise _too_large(limit + 1, limit)
    if not inflater.eof or inflater.unused_data:
        raise RpcError(Status.INTERNAL, "a compressed message is no whole gzip")
    return message


def _too_large(size: int, limit_bytes: int) -> RpcError:
    return RpcError(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {limit_bytes}")
