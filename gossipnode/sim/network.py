"""A network in memory, for tests and simulations: the same seam as sockets, on Trio's in-memory streams."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import trio
import trio.testing

from gossipnode.config.address import Address

BACKLOG_CONNECTIONS = 64
"""Connections to one listener that may wait to be accepted."""


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    """Hands out the far ends of connections made to one address."""

    def __init__(self, closed: Callable[[], None]) -> None:
        """`closed` is called once nobody listens any more."""
        self.connections, self._accepted = trio.open_memory_channel[trio.abc.Stream](BACKLOG_CONNECTIONS)
        self._closed = closed

    async def accept(self) -> trio.abc.Stream:
        """The next connection."""
        try:
            return await self._accepted.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError from None

    async def aclose(self) -> None:
        """Refuse connections from now on, also those that nobody has accepted. Harmless when repeated."""
        closed, self._closed = self._closed, _nothing
        closed()
        self.connections.close()
        with suppress(trio.WouldBlock, trio.EndOfChannel, trio.ClosedResourceError):
            while True:
                await trio.aclose_forcefully(self._accepted.receive_nowait())
        self._accepted.close()
        await trio.lowlevel.checkpoint()


class MemoryConnection(trio.abc.HalfCloseableStream):
    """The near end of a connection; its network knows it until it is closed."""

    def __init__(self, end: trio.abc.HalfCloseableStream, closed: Callable[[MemoryConnection], None]) -> None:
        """Take the place of one end of a pair; `closed` is called when it closes."""
        self._end = end
        self._closed = closed

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._end.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._end.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._end.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        return await self._end.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close it."""
        self._closed(self)
        await self._end.aclose()


class MemoryNetwork:
    """Listeners by their addresses. `cut` breaks the connections to an address."""

    def __init__(self) -> None:
        """Start with nobody listening."""
        self._listeners: dict[Address, MemoryListener] = {}
        self._open: dict[MemoryConnection, Address] = {}
        self._next_port = 1
        self.unreachable: set[Address] = set()
        """Addresses that no new connection reaches."""

    async def connect(self, address: Address) -> MemoryConnection:
        """Open a stream to a listener.

        Raises:
            OSError: nobody listens there, or it cannot be reached.
        """
        await trio.lowlevel.checkpoint()
        listener = self._listeners.get(address)
        if address in self.unreachable or listener is None:
            raise _os_error(errno.ECONNREFUSED)
        end, far = trio.testing.memory_stream_pair()
        try:
            listener.connections.send_nowait(far)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            raise _os_error(errno.ECONNREFUSED) from None
        near = MemoryConnection(end, self._forget_connection)
        self._open[near] = address
        return near

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        """Listen at an address; port 0 takes any free one.

        Raises:
            OSError: somebody listens there already.
        """
        await trio.lowlevel.checkpoint()
        while address.port == 0 or address in self._listeners:
            if address.port != 0:
                raise _os_error(errno.EADDRINUSE)
            address = Address(address.host, self._next_port)
            self._next_port += 1
        taken = address
        self._listeners[taken] = listener = MemoryListener(lambda: self._forget(taken))
        return [listener]

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """The address that `listen(asked)` came to listen at."""
        return next((address for address, known in self._listeners.items() if known is listeners[0]), asked)

    async def cut(self, address: Address) -> None:
        """Break every connection to an address, in the middle of whatever it does."""
        for connection in [connection for connection, to in self._open.items() if to == address]:
            await trio.aclose_forcefully(connection)

    def _forget(self, address: Address) -> None:
        self._listeners.pop(address, None)

    def _forget_connection(self, connection: MemoryConnection) -> None:
        self._open.pop(connection, None)


def _nothing() -> None:
    return


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
