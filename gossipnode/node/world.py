"""The one seam to everything outside the process: time, chance, network and disk, and those who watch.

The real world is made by `real_world`; tests and simulations hand in another one and run the same node in it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.model.property import Record, ShardId
from gossipnode.observe.events import Events
from gossipnode.observe.traces.traces import NO_TRACES, Traces, process_traces
from gossipnode.store.interface import IndexRows, LeafDigest, Store


class Network(Protocol):
    """How a node reaches other nodes, and is reached by them."""

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Open a stream to a listener.

        Raises:
            OSError: nobody listens there, or it cannot be reached.
        """
        ...

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        """Listen at an address; port 0 takes any free one.

        Raises:
            OSError: the address is taken, or does not belong to this machine.
        """
        ...

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """The address that `listen(asked)` listens at, with the port that it got."""
        ...


class Quarantine(Protocol):
    """Where records go that this node may not have any more, and that nobody else may have."""

    async def keep(self, shard: ShardId, records: Sequence[Record]) -> str:
        """Keep records durably, beside those that are there; gives where, for the log.

        Raises:
            OSError: they could not be kept.
        """
        ...


class MemoryQuarantine:
    """A quarantine for tests and simulations."""

    def __init__(self) -> None:
        """Nothing is in it yet."""
        self.records: list[tuple[ShardId, Record]] = []

    async def keep(self, shard: ShardId, records: Sequence[Record]) -> str:
        """See `Quarantine.keep`."""
        self.records += [(shard, record) for record in records]
        return "memory"


def _memory_quarantine(_: Settings) -> Quarantine:
    return MemoryQuarantine()


OpenStore: TypeAlias = Callable[[Settings, LeafDigest, IndexRows], AbstractAsyncContextManager[Store]]


@dataclass(frozen=True, slots=True)
class World:
    """What a node is handed of the outside. Durations are measured by Trio's clock, which tests replace."""

    network: Network
    open_store: OpenStore
    wall_clock: Callable[[], int]
    """Nanoseconds since 1970."""
    rng: random.Random
    sleep_until: Callable[[float], Awaitable[None]] = trio.sleep_until
    """Waits for a time of Trio's clock. What a node waits for most often goes by it: a simulated clock has a
    wait of its own, which costs less."""
    events: Events = field(default_factory=Events)
    """Where the node tells what happens, to those who watch it."""
    traces: Traces = NO_TRACES
    """Where the node tells of work that takes time, as it begins and ends."""
    quarantine: Callable[[Settings], Quarantine] = _memory_quarantine


class TcpNetwork:
    """The network of the operating system: TCP sockets."""

    async def connect(self, address: Address) -> trio.abc.Stream:
        """Open a TCP connection."""
        return await trio.open_tcp_stream(address.host, address.port)

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        """Listen on every address that the host name stands for."""
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        if address.port == 0 and len(listeners) > 1:
            # Each address got another free port. Callers are told one port, so one listener is enough.
            for extra in listeners[1:]:
                await extra.aclose()
            return listeners[:1]
        return listeners

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        """The asked host with the port that the sockets have."""
        first = listeners[0]
        if not isinstance(first, trio.SocketListener):
            return asked
        return Address(asked.host, first.socket.getsockname()[1])


def real_world(
    open_store: OpenStore, quarantine: Callable[[Settings], Quarantine] = _memory_quarantine
) -> World:
    """Sockets, the system's clock and its randomness, and the store and the quarantine handed in."""
    return World(
        network=TcpNetwork(),
        open_store=open_store,
        wall_clock=time.time_ns,
        rng=random.SystemRandom(),
        traces=process_traces(),
        quarantine=quarantine,
    )
