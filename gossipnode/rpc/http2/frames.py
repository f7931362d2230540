"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6): building them, and the constants to read them.

Pure functions. Nothing here knows of a connection, a stream's state or gRPC.
"""

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES: Final = 9
PRIORITY_BYTES: Final = 5
RST_STREAM_BYTES: Final = 4
PING_BYTES: Final = 8
WINDOW_UPDATE_BYTES: Final = 4

# No frame: the alert by which a TLS server tells that it was not spoken to in TLS (RFC 8446, 6: fatal,
# protocol_version), and the two bytes with which every alert begins.
TLS_ALERT: Final = b"\x15\x03\x01\x00\x02\x02\x46"
TLS_ALERT_BEGIN: Final = TLS_ALERT[:2]

# length (16 high bits, 8 low bits), type, flags, stream id
FRAME_HEADER: Final = Struct(">HBBBL")
U32: Final = Struct(">L")
# identifier, value
SETTING: Final = Struct(">HL")
# last stream id, error code
GOAWAY_FIELDS: Final = Struct(">LL")

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
LARGEST_FRAME_BYTES: Final = 2**24 - 1
LARGEST_WINDOW_BYTES: Final = 2**31 - 1
LAST_STREAM_ID: Final = 2**31 - 1

_pack_header = FRAME_HEADER.pack


def frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview = b"") -> bytes:
    """One whole frame. The caller keeps `payload` within the peer's largest frame."""
    size = len(payload)
    return b"".join((_pack_header(size >> 8, size & 0xFF, kind, flags, stream_id), payload))


def headers_frames(stream_id: int, block: bytes, end_stream: bool, frame_bytes: int) -> bytes:
    """A header block as HEADERS, and CONTINUATION frames where it is longer than `frame_bytes`."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_bytes:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    parts = [block[at : at + frame_bytes] for at in range(0, len(block), frame_bytes)]
    first = frame(HEADERS, flags, stream_id, parts[0])
    middle = [frame(CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    return b"".join([first, *middle, frame(CONTINUATION, END_HEADERS, stream_id, parts[-1])])


def settings_frame(settings: dict[int, int]) -> bytes:
    """A SETTINGS frame of `settings` (identifier to value)."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(key, value) for key, value in settings.items()))


def window_update_frame(stream_id: int, credit_bytes: int) -> bytes:
    """Lets the peer send `credit_bytes` more; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, U32.pack(credit_bytes))


def reset_frame(stream_id: int, code: int) -> bytes:
    """Ends a stream at once."""
    return frame(RST_STREAM, 0, stream_id, U32.pack(code))


def goaway_frame(last_stream_id: int, code: int, text: str = "") -> bytes:
    """Says that no stream above `last_stream_id` was or will be processed."""
    return frame(GOAWAY, 0, 0, GOAWAY_FIELDS.pack(last_stream_id, code) + text.encode())
