"""Calls to one node under Trio, over gossipnode's own gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from ssl import SSLContext

import trio

from gossipnode.client.transport.transport_protocol import NextAnswer
from gossipnode.config.address import Address
from gossipnode.rpc import Channel, Method
from gossipnode.rpc.client.dialing import Connect
from gossipnode.rpc.method import Reply, Request
from gossipnode.rpc.tls import open_tls_stream


class TrioTransport:
    """Implements `Transport`.

    Every call may dial at once, without the channel's own backoff: the caller, a pool of nodes, already
    decides when a node is worth another try.
    """

    def __init__(self, channel: Channel) -> None:
        """Call over `channel`, which its owner opens and closes."""
        self._channel = channel

    async def unary(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - it goes to the node as well
    ) -> Reply:
        """Call a unary method."""
        return await self._channel.unary(method, request, timeout=timeout, dial_now=True)

    @asynccontextmanager
    async def stream(
        self, method: Method[Request, Reply], request: Request
    ) -> AsyncGenerator[NextAnswer[Reply]]:
        """Send one request and receive many answers."""
        async with self._channel.stream(method, timeout=None, dial_now=True) as stream:
            await stream.send(request)
            await stream.half_close()
            yield stream.recv


def connector(address: Address, context: SSLContext | None) -> tuple[Connect, str]:
    """The function with which a Channel connects to this address, and the scheme of its requests."""
    if context is None:
        return partial(trio.open_tcp_stream, address.host, address.port), "http"
    return partial(open_tls_stream, address.host, address.port, context), "https"


@asynccontextmanager
async def open_transport(address: Address, context: SSLContext | None) -> AsyncGenerator[TrioTransport]:
    """A transport to this address, for the length of the block."""
    connect, scheme = connector(address, context)
    async with Channel(connect, authority=str(address), scheme=scheme) as channel:
        yield TrioTransport(channel)
