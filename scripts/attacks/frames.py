"""HTTP/2 written by hand, frame by frame, whether it makes sense or not; and protobuf fields likewise."""

from __future__ import annotations

import struct

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
LARGEST_WINDOW_BYTES = 2**31 - 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def head(path: str, *more: tuple[str, str]) -> bytes:
    """The header block of a call. It adds nothing to the table of the node's decoder."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a"),
        ("te", "trailers"),
        ("content-type", "application/grpc+proto"),
        *more,
    ]
    encoder = Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode(fields, huffman=False))


def call(stream: int, path: str, *more: tuple[str, str], end: bool = False) -> bytes:
    """The HEADERS of a call."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, head(path, *more))


def trailers(stream: int, *fields: tuple[str, str]) -> bytes:
    """A header block that ends a stream and opens none."""
    encoder = Encoder()
    encoder.header_table_size = 0
    block = encoder.encode(fields or [("x", "y")], huffman=False)
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", compressed, len(data)) + data


def data_frames(stream: int, data: bytes, *, end: bool = False) -> bytes:
    """Bytes as DATA frames of 16 KiB."""
    parts = [data[at : at + 16_384] for at in range(0, len(data), 16_384)] or [b""]
    last = len(parts) - 1
    return b"".join(
        frame(DATA, END_STREAM if end and at == last else 0, stream, part) for at, part in enumerate(parts)
    )


def request(stream: int, path: str, data: bytes, *more: tuple[str, str]) -> bytes:
    """A whole unary call."""
    return call(stream, path, *more) + data_frames(stream, message(data), end=True)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame, in which a setting may stand again and again."""
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def window_update(stream: int, credit_bytes: int) -> bytes:
    return frame(WINDOW, 0, stream, struct.pack(">I", credit_bytes))


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RESET, 0, stream, struct.pack(">I", code))


GREETING = PREFACE + frame(SETTINGS)
WIDE_GREETING = (
    PREFACE
    + settings((INITIAL_WINDOW_SIZE, LARGEST_WINDOW_BYTES))
    + window_update(0, LARGEST_WINDOW_BYTES - 65_535)
)
"""The greeting of a peer that lets the node send whatever it likes."""


# --- protobuf ---


def varint(number: int) -> bytes:
    """A number from 0 to 2^64 - 1."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, content: bytes) -> bytes:
    """A field of text, bytes or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content
