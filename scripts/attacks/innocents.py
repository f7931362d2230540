"""Innocent clients of a node, in a process of their own: their calls, errors and times, as JSON on stdout.

`python -m attacks.innocents REQUEST` says `ready` when each kind of client has had an answer, and ends after
the seconds that the request names.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial

import trio

from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel, RpcError
from gossipnode.rpc.tls import client_ssl_context, open_tls_stream
from gossipnode.wire import services
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_apply, encode_get

GROUP = "sw"
NAME = "innocent"
HOST, FRESH_HOST = "127.0.1.1", "127.0.1.2"
"""Innocent clients have addresses of their own, as they would have elsewhere: a node gives each its share."""
TIMEOUT_SECONDS = 10.0
PAUSES_SECONDS = {"get": 0.05, "apply": 0.05, "connect": 0.5}
"""The kinds of innocent clients, and how long after one call each begins the next one."""


@dataclass
class Request:
    """Which node is called, and for how long."""

    host: str
    port: int
    seconds: float
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass
class Seen:
    """What the clients of one kind saw."""

    calls: int = 0
    errors: int = 0
    first_error: str = ""
    took_ms: list[float] = field(default_factory=list[float])

    def figures(self) -> dict[str, object]:
        """Without the single times."""
        took = self.took_ms or [0.0]
        return {
            "calls": self.calls,
            "errors": self.errors,
            "first_error": self.first_error,
            "median_ms": round(statistics.median(took), 1),
            "slowest_ms": round(max(took), 1),
        }


@asynccontextmanager
async def channel_to(request: Request, host: str = HOST) -> AsyncIterator[Channel]:
    """A connection of its own, from an address of this machine."""

    async def plain() -> trio.abc.Stream:
        return await trio.open_tcp_stream(request.host, request.port, local_address=host)

    async def tls() -> trio.abc.Stream:
        context = client_ssl_context(request.ca, request.cert, request.key)
        return await open_tls_stream(request.host, request.port, context, server_hostname="localhost")

    scheme = "https" if request.ca else "http"
    async with Channel(tls if request.ca else plain, authority="localhost", scheme=scheme) as channel:
        yield channel


async def ask(kind: str, request: Request, channel: Channel) -> None:
    """One call of a kind."""
    entity = Entity(GROUP, NAME, "1")
    if kind == "apply":
        message = encode_apply(build_property(entity, {"n": time.time_ns()}), ack="quorum")
        await channel.unary(services.NODE_APPLY, message, timeout=TIMEOUT_SECONDS)
    elif kind == "get":
        await channel.unary(services.NODE_GET, encode_get(entity, ack="quorum"), timeout=TIMEOUT_SECONDS)
    else:
        async with channel_to(request, FRESH_HOST) as fresh:
            await fresh.unary(services.NODE_GET, encode_get(entity, ack="quorum"), timeout=TIMEOUT_SECONDS)


async def client(
    once: Callable[[], Awaitable[None]], pause_seconds: float, seen: Seen, stop: trio.Event
) -> None:
    """Call again and again, each time counted with the time it took."""
    while not stop.is_set():
        began = time.perf_counter()
        seen.calls += 1
        try:
            await once()
        except (RpcError, OSError) as error:
            seen.errors += 1
            seen.first_error = seen.first_error or f"{type(error).__name__}: {error}"[:160]
        seen.took_ms.append((time.perf_counter() - began) * 1e3)
        with trio.move_on_after(pause_seconds):
            await stop.wait()


async def run(request: Request) -> dict[str, Seen]:
    """Run a client of each kind for the seconds that were asked for."""
    seen = {kind: Seen() for kind in PAUSES_SECONDS}
    stop = trio.Event()
    async with channel_to(request) as reads, channel_to(request) as writes:
        channels = {"get": reads, "apply": writes, "connect": reads}
        await ask("apply", request, writes)
        await ask("get", request, reads)
        print("ready", flush=True)
        async with trio.open_nursery() as nursery:
            for kind, pause_seconds in PAUSES_SECONDS.items():
                once = partial(ask, kind, request, channels[kind])
                nursery.start_soon(client, once, pause_seconds, seen[kind], stop)
            await trio.sleep(request.seconds)
            stop.set()
    return seen


def as_json(request: Request) -> str:
    """A request for the command line."""
    return json.dumps(asdict(request))


if __name__ == "__main__":
    found = trio.run(run, Request(**json.loads(sys.argv[1])))
    print(json.dumps({kind: seen.figures() for kind, seen in found.items()}))
