"""gRPC messages as bytes: each has a prefix of five bytes, a flag for compression and its length.

Pure functions. Messages are never compressed here, and compressed ones are refused.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from gossipnode.rpc.status import RpcError, Status

MESSAGE_PREFIX_BYTES: Final = 5
#: Messages to ask for where a call allows exactly one: a second one shows that the peer breaks the rule.
ONE_TOO_MANY: Final = 2
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


def cut_messages(buffer: bytearray, max_messages: int, max_message_bytes: int) -> tuple[list[bytes], int]:
    """Up to `max_messages` whole messages at the start of `buffer`, and the bytes that they take up there.

    Raises RpcError for a bad first message: RESOURCE_EXHAUSTED if it announces more than `max_message_bytes`,
    UNIMPLEMENTED if it is compressed. A bad message that follows good ones is left for the next cut.
    """
    messages: list[bytes] = []
    at, end = 0, len(buffer)
    with memoryview(buffer) as view:
        while end - at >= MESSAGE_PREFIX_BYTES and len(messages) < max_messages:
            compressed, size = _unpack_prefix(buffer, at)
            if compressed or size > max_message_bytes:
                if messages:
                    break
                raise _refusal(compressed, size, max_message_bytes)
            start = at + MESSAGE_PREFIX_BYTES
            if end - start < size:
                break
            at = start + size
            messages.append(bytes(view[start:at]))
    return messages, at


def _refusal(compressed: int, size: int, max_message_bytes: int) -> RpcError:
    if compressed:
        return RpcError(Status.UNIMPLEMENTED, "compressed messages are not supported")
    return RpcError(
        Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {max_message_bytes}"
    )
