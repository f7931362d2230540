"""A connection of the status port, as hypercorn drives it. A peer that does not read soon loses it."""

from __future__ import annotations

import socket
from typing import Final, cast

import trio

SEND_SECONDS: Final = 10.0
"""How long a browser may leave unread what was sent to it. Hypercorn itself would wait for ever."""

_NOWHERE: Final = ("127.0.0.1", 0)


class _Addresses:
    """What hypercorn asks a socket for. Streams in memory have no addresses."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        if isinstance(stream, trio.SSLStream):
            stream = cast("trio.SSLStream[trio.abc.Stream]", stream).transport_stream
        self._socket = stream.socket if isinstance(stream, trio.SocketStream) else None
        self.family = socket.AF_INET if self._socket is None else self._socket.family

    def getpeername(self) -> object:
        return _NOWHERE if self._socket is None else self._socket.getpeername()

    def getsockname(self) -> object:
        return _NOWHERE if self._socket is None else self._socket.getsockname()


class BoundedStream(trio.abc.Stream):
    """A stream on which sending fails after `SEND_SECONDS`, or at once after `cut`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Send over `stream`, and read from it. A TLS handshake was made already."""
        self._stream = stream
        self._cut = False
        self._sending: trio.CancelScope | None = None
        self.socket = _Addresses(stream)

    def cut(self) -> None:
        """Send nothing more. What is being sent fails."""
        self._cut = True
        if self._sending is not None:
            self._sending.cancel()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        if self._cut:
            raise trio.BrokenResourceError("the connection was cut")
        with trio.move_on_after(SEND_SECONDS) as self._sending:
            await self._stream.send_all(data)
        if self._sending.cancelled_caught:
            self._cut = True
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the peer does not read")

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close the connection, with a farewell only if that can be said in time."""
        with trio.move_on_after(SEND_SECONDS):
            await self._stream.aclose()
