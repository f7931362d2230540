"""The network of a simulation: connections between hosts over the links between them.

Addresses name hosts: `b:7400` is port 7400 of host `b`, whatever runs there. A host that lost its power
answers nothing until it is up again; one whose process alone has ended refuses connections.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from gossipnode.concurrency.waker import Waker
from gossipnode.config.address import Address
from gossipnode.sim.world.link_stream import LinkConnection, LinkStream
from gossipnode.sim.world.links import Link, Links, Pair

BACKLOG: Final = 64
"""Connections to one listener that may wait to be accepted. Further ones are not answered, as by TCP."""


class LinkListener(trio.abc.Listener[trio.abc.Stream]):
    """Hands out the far ends of the connections to one address."""

    def __init__(self, accepted: Callable[[], None], closed: Callable[[], None]) -> None:
        """Made by `LinkNetwork`, which is told when there is room for one more, and of the end."""
        self._accepted = accepted
        self._closed = closed
        self._waiting: deque[LinkStream] = deque()
        self._acceptor = Waker()
        self.open = True

    @property
    def has_room(self) -> bool:
        """Whether one more connection may wait."""
        return len(self._waiting) < BACKLOG

    def offer(self, end: LinkStream) -> None:
        """A connection was opened."""
        self._waiting.append(end)
        self._acceptor.wake()

    async def accept(self) -> LinkStream:
        """The next connection."""
        if self._waiting or not self.open:
            await checkpoint()
        while not self._waiting and self.open:
            await self._acceptor.sleep()
        if not self.open:
            # Of a process that has crashed: it is to be unwound, not to see errors of its network.
            await checkpoint_if_cancelled()
            raise trio.ClosedResourceError
        end = self._waiting.popleft()
        self._accepted()
        return end

    def close(self) -> Sequence[LinkStream]:
        """Take no more connections. Gives those that nobody has accepted; nothing when repeated."""
        if not self.open:
            return ()
        self.open = False
        waiting, self._waiting = self._waiting, deque()
        self._acceptor.wake()
        self._closed()
        return waiting

    async def aclose(self) -> None:
        """Take no more connections, and close those that nobody has accepted."""
        for end in self.close():
            end.abort()
        await checkpoint()


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """The network as the process has it that runs on a host; see `gossipnode.node.world.Network`."""

    network: LinkNetwork
    host: str
    life: int
    """How often the host had crashed when the process began."""

    async def connect(self, address: Address) -> LinkStream:
        """Open a stream to a listener.

        Raises:
            OSError: nobody listens there, a link refuses it, or this process has crashed.
        """
        return await self.network.connect(self, address)

    async def listen(self, address: Address) -> Sequence[LinkListener]:
        """Listen at an address of this host; port 0 takes any free one.

        Raises:
            OSError: the address is taken, or belongs to another host, or this process has crashed.
        """
        await checkpoint()
        return [self.network.listen(self, address)]

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """The address that `listen(asked)` came to listen at."""
        return self.network.bound(listeners, asked)


class LinkNetwork:
    """The hosts, and who listens there."""

    def __init__(self, links: Links) -> None:
        """Start with nobody listening."""
        self._links = links
        self._listeners: dict[Address, LinkListener] = {}
        self._next_port = 1
        self._crashes: dict[str, int] = {}
        # The hosts that have no power.
        self._dark: set[str] = set()

    def host(self, name: str) -> HostNetwork:
        """The network as a process has it that begins on a host now."""
        return HostNetwork(self, name, self._crashes.get(name, 0))

    @property
    def bytes_sent(self) -> Mapping[Pair, int]:
        """How many bytes were sent from each host to each other one so far."""
        return self._links.bytes_sent

    # Crashes

    def crash(self, name: str, *, told: bool) -> None:
        """The process on a host is gone, at once: what its tasks still do reaches nobody.

        If its peers are `told`, the host lives on: it resets the connections and refuses new ones. Otherwise
        it has lost its power: connections are half open, and nothing answers until `revive`.
        """
        self._crashes[name] = self._crashes.get(name, 0) + 1
        for address, listener in list(self._listeners.items()):
            if address.host == name:
                listener.close()
        if told:
            self._links.end(name)
        else:
            self._dark.add(name)
            self._links.half_open(name)

    def revive(self, name: str) -> None:
        """A host has power again. Whoever sends on a connection from before hears that it is reset."""
        self._dark.discard(name)
        self._links.revive(name)
        self._links.changed.notify()

    # What processes ask for

    async def connect(self, process: HostNetwork, address: Address) -> LinkStream:
        """See `HostNetwork.connect`."""
        await checkpoint()
        near, far = process.host, address.host
        there, back = self._links.link(near, far), self._links.link(far, near)
        await self._pass(there)
        while True:
            while not (there.cut or self._answers(address)):
                await self._links.changed.wait()
            await self._pass(back)
            self._check_alive(process)
            listener = self._listeners.get(address)
            if there.cut or (listener is None and far not in self._dark):
                raise _os_error(errno.ECONNREFUSED)
            if listener is not None and listener.has_room:
                break
        end, far_end = LinkConnection(self._links, near, far).ends()
        listener.offer(far_end)
        return end

    def _answers(self, address: Address) -> bool:
        """Whether a host answers a request to connect, by taking it or by refusing it."""
        listener = self._listeners.get(address)
        return address.host not in self._dark and (listener is None or listener.has_room)

    async def _pass(self, link: Link) -> None:
        """Wait until a packet has passed that is sent again until it does."""
        while True:
            while link.dropped:
                await self._links.changed.wait()
            if seconds := link.delay():
                await trio.sleep(seconds)
            if not link.dropped:
                return

    def listen(self, process: HostNetwork, address: Address) -> LinkListener:
        """See `HostNetwork.listen`."""
        self._check_alive(process)
        if address.host != process.host:
            raise _os_error(errno.EADDRNOTAVAIL)
        while address.port == 0 or address in self._listeners:
            if address.port != 0:
                raise _os_error(errno.EADDRINUSE)
            address = Address(address.host, self._next_port)
            self._next_port += 1
        taken = address
        changed = self._links.changed
        self._listeners[taken] = listener = LinkListener(changed.notify, lambda: self._forget(taken))
        return listener

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """See `HostNetwork.bound`."""
        return next((address for address, known in self._listeners.items() if known is listeners[0]), asked)

    def _forget(self, address: Address) -> None:
        self._listeners.pop(address, None)
        self._links.changed.notify()

    def _check_alive(self, process: HostNetwork) -> None:
        if process.life != self._crashes.get(process.host, 0):
            raise _os_error(errno.ENETDOWN)


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
