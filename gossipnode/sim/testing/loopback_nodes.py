"""Nodes that clients reach by TCP on this machine, while they reach each other in memory."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from gossipnode.config.address import Address
from gossipnode.node.world import World, real_world
from gossipnode.sim.cluster import Cluster
from gossipnode.sim.faults import Faults, FaultyNetwork, FaultyStream
from gossipnode.sim.testing.fault_injector import CLIENTS

LOOPBACK = "127.0.0.1"


@dataclass
class LoopbackNodes(Cluster):
    """A cluster in real time. Each node has a port of this machine, and keeps it over restarts.

    The nodes reach each other in memory, where a way can be cut in the middle of whatever goes on. Everything
    that an application sees of them is real: the addresses, the connections to them, the clock.
    """

    doors: dict[str, Door] = field(default_factory=dict[str, "Door"])
    """By the names of the nodes."""

    def open_doors(self) -> None:
        """Take a free port for each node, so that all are known before the first node starts.

        Raises:
            OSError: no port is free.
        """
        for name in self.names:
            self.doors[name] = Door.at_free_port()

    def close_doors(self) -> None:
        """Give the ports back."""
        for door in self.doors.values():
            door.close()

    def address(self, name: str) -> Address:
        """Where a node listens."""
        return self.doors[name].address

    def name_of(self, address: Address) -> str:
        """Which node is at an address; empty for none."""
        return next((name for name, door in self.doors.items() if door.address == address), "")

    def world(self, name: str) -> World:
        """The system's clock and its randomness, the store in memory, and both networks."""
        between_nodes = FaultyNetwork(self.network, self.faults, name, self.name_of)
        network = _LoopbackNetwork(between_nodes, self.faults, name, self.doors[name])
        return replace(real_world(self.disk(name)), network=network)


@dataclass
class Door:
    """A port of this machine that belongs to one node, also while nobody listens at it."""

    address: Address
    _holder: socket.socket
    """Bound to the port, and never listening: a connection is refused, and nobody else is given the port."""

    @classmethod
    def at_free_port(cls) -> Door:
        """Hold any free port."""
        holder = socket.socket()
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((LOOPBACK, 0))
        except BaseException:
            holder.close()
            raise
        return cls(Address(LOOPBACK, holder.getsockname()[1]), holder)

    async def listen(self) -> Sequence[trio.SocketListener]:
        """Listen at the port.

        Raises:
            OSError: somebody else does.
        """
        if sys.platform != "linux":
            # Elsewhere a port that is bound cannot be listened at by another socket.
            self._holder.close()
        return await trio.open_tcp_listeners(self.address.port, host=LOOPBACK)

    def close(self) -> None:
        """Give the port back. Harmless when repeated."""
        self._holder.close()


@dataclass(frozen=True)
class _LoopbackNetwork:
    """The network as one node has it."""

    between_nodes: FaultyNetwork
    faults: Faults
    name: str
    door: Door

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Open a stream to another node.

        Raises:
            OSError: nobody listens there, or the faults refuse it.
        """
        return await self.between_nodes.connect(address)

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        """Listen for other nodes in memory, and for clients at the node's port.

        Raises:
            OSError: the port is taken.
        """
        for_clients = [_ClientListener(one, self.faults, self.name) for one in await self.door.listen()]
        return [*await self.between_nodes.listen(address), *for_clients]

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """See `MemoryNetwork.bound`."""
        return self.between_nodes.bound(listeners, asked)


class _ClientListener(trio.abc.Listener[trio.abc.Stream]):
    """Takes the connections of clients, under the faults between them and a node."""

    def __init__(self, listener: trio.SocketListener, faults: Faults, name: str) -> None:
        """Take what `listener` of the node `name` accepts."""
        self._listener = listener
        self._faults = faults
        self._name = name

    async def accept(self) -> trio.abc.Stream:
        """The next connection that no fault refuses."""
        while True:
            accepted = await self._listener.accept()
            stream = FaultyStream(accepted, self._faults, self._name, CLIENTS)
            if not self._faults.refuses(CLIENTS, self._name):
                self._faults.opened(stream, (CLIENTS, self._name))
                return stream
            await trio.aclose_forcefully(stream)

    async def aclose(self) -> None:
        """Refuse connections from now on."""
        await self._listener.aclose()
