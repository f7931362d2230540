"""Faults between nodes in memory: bytes are late or held up, links are cut, one way or both."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.config.address import Address
from gossipnode.sim.network import MemoryNetwork

Direction: TypeAlias = tuple[str, str]
"""(from, to), by the names of two nodes."""


class Faults:
    """The faults between nodes, each in one direction."""

    def __init__(self) -> None:
        """Nothing is wrong."""
        self._held: set[Direction] = set()
        self._cut: set[Direction] = set()
        self._late: dict[Direction, float] = {}
        self._open: dict[FaultyStream, Direction] = {}
        self._healed = ChangeEvent()

    def hold(self, *directions: Direction) -> None:
        """Hold bytes up, as a peer that is stopped or a router that drops them would."""
        self._held.update(directions)

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Let each piece of bytes come later by this much; 0 ends it."""
        self._late.update(dict.fromkeys(directions, seconds))

    async def cut(self, *directions: Direction) -> None:
        """Break the connections that were opened in these directions, and refuse new ones."""
        self._cut.update(directions)
        for stream in [stream for stream, direction in self._open.items() if direction in self._cut]:
            await trio.aclose_forcefully(stream)

    @property
    def severed(self) -> frozenset[Direction]:
        """The directions that are cut."""
        return frozenset(self._cut)

    def mend(self, *directions: Direction) -> None:
        """Let connections be made in these directions again."""
        self._cut.difference_update(directions)

    def heal(self) -> None:
        """Let all bytes pass at once, and all connections be made."""
        self._late.clear()
        self._held.clear()
        self._cut.clear()
        self._healed.notify()

    async def passage(self, source: str, target: str) -> None:
        """Wait until bytes may pass in a direction."""
        if seconds := self._late.get((source, target), 0.0):
            await trio.sleep(seconds)
        while (source, target) in self._held:
            await self._healed.wait()

    def refuses(self, source: str, target: str) -> bool:
        """Whether connections in a direction are refused."""
        return (source, target) in self._cut

    def opened(self, stream: FaultyStream, direction: Direction) -> None:
        """A connection was opened."""
        self._open[stream] = direction

    def closed(self, stream: FaultyStream) -> None:
        """A connection was closed. Harmless when repeated."""
        self._open.pop(stream, None)


class FaultyStream(trio.abc.HalfCloseableStream):
    """The near end of a connection between two nodes; its bytes pass where the faults let them."""

    def __init__(self, end: trio.abc.HalfCloseableStream, faults: Faults, near: str, far: str) -> None:
        """Take the place of `end`, which node `near` has opened to node `far`."""
        self._end = end
        self._faults = faults
        self._near = near
        self._far = far

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """See `trio.abc.SendStream`."""
        await self._faults.passage(self._near, self._far)
        await self._end.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """See `trio.abc.SendStream`."""
        await self._end.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """See `trio.abc.HalfCloseableStream`."""
        await self._end.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """See `trio.abc.ReceiveStream`."""
        data = await self._end.receive_some(max_bytes)
        await self._faults.passage(self._far, self._near)
        return data

    async def aclose(self) -> None:
        """Close it."""
        self._faults.closed(self)
        await self._end.aclose()


def host_of(address: Address) -> str:
    """The node at an address, where each node has a host of its own name."""
    return address.host


@dataclass(frozen=True)
class FaultyNetwork:
    """The network as one node has it."""

    network: MemoryNetwork
    faults: Faults
    name: str
    name_of: Callable[[Address], str] = host_of
    """Which node is at an address."""

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Open a stream to a listener.

        Raises:
            OSError: nobody listens there, or the faults refuse it.
        """
        target = self.name_of(address)
        if self.faults.refuses(self.name, target):
            await trio.lowlevel.checkpoint()
            raise _refused()
        stream = FaultyStream(await self.network.connect(address), self.faults, self.name, target)
        if self.faults.refuses(self.name, target):
            # The way was cut meanwhile.
            await trio.aclose_forcefully(stream)
            raise _refused()
        self.faults.opened(stream, (self.name, target))
        return stream

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        """See `MemoryNetwork.listen`."""
        return await self.network.listen(address)

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """See `MemoryNetwork.bound`."""
        return self.network.bound(listeners, asked)


def _refused() -> OSError:
    return OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
