"""A server and clients wired together in memory."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gossipnode.rpc import Channel, Limits, RpcError, Server, Status
from tests.rpc.methods import FLOW, UNARY, echo, echo_flow
from tests.rpc.raw_peer import RawPeer


class Wire:
    """Connects channels to a server through memory streams, and can cut or refuse them."""

    def __init__(self, server: Server, nursery: trio.Nursery) -> None:
        self.server = server
        self.nursery = nursery
        self.dials = 0
        self.refuse = False
        self.ends: list[trio.StapledStream] = []

    async def connect(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dials += 1
        if self.refuse:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.server.serve_stream, theirs)
        self.ends.append(ours)
        return ours

    def channel(self, limits: Limits | None = None, **options) -> Channel:
        return Channel(self.connect, limits=limits, authority="node-b", **options)

    async def cut(self) -> None:
        """Every connection breaks."""
        for end in self.ends:
            await trio.aclose_forcefully(end)
        self.ends.clear()

    async def raw(self) -> RawPeer:
        return RawPeer(await self.connect())


@asynccontextmanager
async def wired(handlers=None, **options) -> AsyncIterator[Wire]:
    server = Server(handlers if handlers is not None else {UNARY: echo, FLOW: echo_flow}, **options)
    async with trio.open_nursery() as nursery:
        yield Wire(server, nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def against(caplog, *, limits=None, start=True, handlers=None):
    """A raw peer and a well-behaved channel at one server; afterwards the latter is still served."""
    caplog.set_level(logging.DEBUG, "gossipnode.rpc")
    options = {"limits": limits} if limits is not None else {}
    async with wired(handlers, **options) as wire, wire.channel() as channel:
        await channel.unary(UNARY, b"before", timeout=5)
        peer = await wire.raw()
        if start:
            await peer.start()
        yield peer
        assert await channel.unary(UNARY, b"after", timeout=5) == b"after"
        await trio.aclose_forcefully(peer.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.connection_count == 1
        assert wire.server.call_count == 0
        assert not [record for record in caplog.records if record.exc_info]
        assert "Traceback" not in caplog.text


async def status_of(call) -> Status:
    with pytest.raises(RpcError) as caught:
        await call
    return caught.value.status


async def drain(stream) -> list[bytes]:
    """All messages that still come, taken two at a time."""
    messages = []
    while batch := await stream.recv_batch(2):
        assert len(batch) <= 2
        messages += batch
    return messages
