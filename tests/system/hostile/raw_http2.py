"""A connection that sends frames written by hand (`attacks.frames`), whether they make sense or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from attacks import frames
from attacks.frames import GREETING
from tests.system.processes import WAIT_SECONDS, Node
from tests.system.stock_client import PROPERTY


def call(stream: int, path: str = f"{PROPERTY}/Query", *, end: bool = False) -> bytes:
    """The HEADERS of a call, of a query unless another one is named."""
    return frames.call(stream, path, end=end)


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
