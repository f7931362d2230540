"""Scripted nodes for the client library, in memory and on loopback, and a runner for Trio and asyncio."""

from __future__ import annotations

import random
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import trio
from trio.testing import memory_stream_pair

from gossipnode.client.calls.node_client import NodeClient
from gossipnode.client.cluster_client import open_client
from gossipnode.client.transport.trio_transport import TrioTransport
from gossipnode.config.address import Address
from gossipnode.core.model.tag_value import TagValue
from gossipnode.rpc import Channel, Limits, Server
from gossipnode.rpc.tls import tls_listeners
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.records import prop

BACKENDS = ("trio", "asyncio")
WAIT_SECONDS = 60.0
NODE_CLIENT_TIMEOUT_SECONDS = 5.0

Handlers = Mapping[Any, Any]
Result = TypeVar("Result")


def run(backend: str, work: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
    """Run the work of a test under Trio or under asyncio, and fail if it hangs."""

    async def in_time() -> Result:
        with anyio.fail_after(WAIT_SECONDS):
            return await work(*arguments)

    return anyio.run(in_time, backend=backend)


def stored(id_: str, *, group: str = "g", name: str = "n", **tags: TagValue) -> messages.Record:
    """A record as a node sends it."""
    return messages.Record(property=prop(f"{name}/{id_}", group, **tags))


@asynccontextmanager
async def node_client(handlers: Handlers) -> AsyncIterator[NodeClient]:
    """A client of one scripted node in memory, whose address is host:1."""
    server = Server(handlers)
    async with trio.open_nursery() as nursery:

        async def connect() -> trio.abc.Stream:
            ours, theirs = memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs)
            return ours

        async with Channel(connect) as channel:
            yield NodeClient(channel, Address("host", 1), NODE_CLIENT_TIMEOUT_SECONDS)
        nursery.cancel_scope.cancel()


class Stage:
    """Scripted nodes in memory, by name, and clients of them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self.servers: dict[str, Server] = {}

    @staticmethod
    def address(name: str) -> Address:
        return Address(name, 7400)

    async def serve(self, name: str, handlers: Handlers) -> None:
        listeners = await self.network.listen(self.address(name))
        self.servers[name] = server = Server(handlers)
        self._scopes[name] = trio.CancelScope()

        async def work() -> None:
            with self._scopes[name]:
                await server.serve(listeners)

        self._nursery.start_soon(work)

    async def kill(self, name: str) -> None:
        """End a node: its connections break, and nothing listens at its address."""
        self._scopes[name].cancel()
        await self.network.cut(self.address(name))

    def client(self, *names: str, timeout: float = 10.0) -> Any:
        return open_client([self.address(name) for name in names], timeout, self._open)

    @asynccontextmanager
    async def _open(self, address: Address) -> AsyncIterator[TrioTransport]:
        connect = partial(self.network.connect, address)
        async with Channel(connect, authority=str(address), rng=random.Random(0)) as channel:
            yield TrioTransport(channel)


@asynccontextmanager
async def stage(**nodes: Handlers) -> AsyncIterator[Stage]:
    """Scripted nodes, by name."""
    async with trio.open_nursery() as nursery:
        made = Stage(nursery)
        for name, handlers in nodes.items():
            await made.serve(name, handlers)
        yield made
        nursery.cancel_scope.cancel()


@contextmanager
def on_loopback(
    handlers: Handlers, *, context: ssl.SSLContext | None = None, limits: Limits | None = None
) -> Iterator[str]:
    """A scripted node at a real address, in a thread of its own: a test may run under either library."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        listeners: Any = await trio.open_tcp_listeners(0, host="127.0.0.1")
        found["port"] = listeners[0].socket.getsockname()[1]
        found["token"] = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as found["scope"]:
            ready.set()
            if context is not None:
                listeners = tls_listeners(listeners, lambda: context)
            await Server(handlers, limits=limits).serve(listeners)

    thread = threading.Thread(target=trio.run, args=(serve,), daemon=True)
    thread.start()
    try:
        assert ready.wait(WAIT_SECONDS)
        yield f"127.0.0.1:{found['port']}"
    finally:
        found["token"].run_sync_soon(found["scope"].cancel)
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


async def take(records: Any) -> list[str]:
    """The ids of all records of a query."""
    return [record.id async for record in records]
