"""Calls to one node under Trio, over gossipnode's own gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import trio

from gossipnode.client.transport.handshake_trouble import trouble
from gossipnode.client.transport.span_metadata import span_metadata
from gossipnode.client.transport.transport_protocol import NextAnswer
from gossipnode.config.address import Address
from gossipnode.rpc import Channel, Method
from gossipnode.rpc.byte_stream import HandshakeError
from gossipnode.rpc.method import Reply, Request
from gossipnode.rpc.tls import ClientTls, open_tls_stream


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
        return await self._channel.unary(
            method, request, timeout=timeout, metadata=span_metadata(), dial_now=True
        )

    @asynccontextmanager
    async def stream(
        self, method: Method[Request, Reply], request: Request
    ) -> AsyncGenerator[NextAnswer[Reply]]:
        """Send one request and receive many answers."""
        async with self._channel.stream(
            method, timeout=None, metadata=span_metadata(), dial_now=True
        ) as stream:
            await stream.send(request)
            await stream.half_close()
            yield stream.recv


def channel_to(address: Address, tls: ClientTls | None) -> Channel:
    """A channel to this address, for its owner to open."""
    if tls is None:
        connect = partial(trio.open_tcp_stream, address.host, address.port)
        return Channel(connect, authority=str(address))
    secured = partial(
        open_tls_stream, address.host, address.port, tls.context, server_hostname=tls.server_name
    )

    async def explain(error: HandshakeError) -> str:
        return await trouble(address, tls, error)

    return Channel(secured, authority=str(address), scheme="https", explain=explain)


@asynccontextmanager
async def open_transport(address: Address, tls: ClientTls | None) -> AsyncGenerator[TrioTransport]:
    """A transport to this address, for the length of the block."""
    async with channel_to(address, tls) as channel:
        yield TrioTransport(channel)


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[trio.Nursery]:
    """Tasks, for the length of the block."""
    # The nursery must not see an exception of the block, which it would wrap into an exception group.
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    try:
        yield nursery
    finally:
        nursery.cancel_scope.cancel()
        await manager.__aexit__(None, None, None)
