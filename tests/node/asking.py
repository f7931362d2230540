"""A cluster in memory, and a channel of a client to one of its nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from gossipnode.rpc import Channel
from gossipnode.sim import Cluster, running


@asynccontextmanager
async def asked(cluster: Cluster, *names: str, at: str = "a") -> AsyncGenerator[Channel]:
    """The nodes of these names run, or else all of the configuration; the channel leads to one of them."""
    async with running(cluster, *names), cluster.channel(at) as channel:
        yield channel


async def every_answer(channel: Channel, method: Any, request: Any, **metadata: str) -> list[Any]:
    """All messages that come back for one request."""
    found: list[Any] = []
    async with channel.stream(method, timeout=None, metadata=metadata) as stream:
        await stream.send(request)
        await stream.half_close()
        while more := await stream.recv_batch(16):
            found += more
    return found


def one_node() -> Cluster:
    """A cluster of one, whose quorum is itself."""
    return Cluster(("a",), ("sw:1:1",))
