"""HTTP/2 written by hand, frame by frame, and a connection that sends it, whether it makes sense or not."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from hpack import Encoder

from tests.system.processes import WAIT_SECONDS, Node
from tests.system.stock_client import PROPERTY

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4


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


def call(stream: int, path: str = f"{PROPERTY}/Query", *, end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, head(path))


def message(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


GREETING = PREFACE + frame(SETTINGS)


class HostilePeer:
    """A connection that sends any bytes."""

    def __init__(self, node: Node, greeting: bytes = GREETING) -> None:
        host, port = node.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=WAIT_SECONDS)
        self.send(greeting)

    def __enter__(self) -> HostilePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False when the node has closed the connection."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError):
            return False
        return True

    def send_while_read(self, parts: Iterator[bytes]) -> None:
        """Send all parts, until the node closes the connection, and read at the same time what comes back."""
        reader = threading.Thread(target=self.drain)
        reader.start()
        for part in parts:
            if not self.send(part):
                break
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        reader.join(WAIT_SECONDS)
        assert not reader.is_alive()

    def drain(self) -> bytes:
        """All that comes until the node closes the connection."""
        heard = b""
        try:
            while part := self.socket.recv(1 << 16):
                heard = (heard + part)[-(1 << 20) :]
        except ConnectionError:
            pass
        return heard

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The frames that come: kind, flags, stream, payload."""
        file = self.socket.makefile("rb")
        with contextlib.suppress(ConnectionError), file:
            while len(start := file.read(9)) == 9:
                size = int.from_bytes(start[:3], "big")
                yield start[3], start[4], int.from_bytes(start[5:], "big"), file.read(size)

    def wait(self, kind: int, stream: int | None = None) -> bytes:
        """The payload of the next frame of a kind."""
        for came, _, on, payload in self.frames():
            if came == kind and stream in (None, on):
                return payload
        raise AssertionError("the node closed the connection")
