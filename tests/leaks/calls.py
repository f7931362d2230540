"""Calls of each kind through the real server and channel, over streams in memory, cut off at any point.

A call ends well, by its deadline, because its client gives up, because its handler fails or ends early, or
with its connection. Virtual time makes the deadlines; the number of turns that others get, the other points.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import trio

from gossipnode.rpc import Cardinality, Channel, ClientStream, Limits, RpcError, Server, ServerStream, Status
from gossipnode.rpc.http2.connection import CONNECTION_BYTES, Connection
from gossipnode.rpc.http2.headers import _HEAD_FACTOR
from gossipnode.rpc.server.reply_budget import ReplyBudget
from tests.leaks.counting import Alive, all_of, count_alive, left_behind
from tests.rpc.methods import method
from tests.rpc.wired import Wire

AT_ONCE = 16
"""Calls that run at the same time."""

TURNS_MAX = 40
"""After how many turns of other tasks a call is given up, at most."""

CALL_SECONDS = 10.0
"""How long a call takes at most. All of them together never take that long; one that hangs does."""

REST_SECONDS = 60.0
"""How long everything rests before it is counted."""

KINDS = {
    "unary": Cardinality.UNARY_UNARY,
    "client-streaming": Cardinality.STREAM_UNARY,
    "server-streaming": Cardinality.UNARY_STREAM,
    "bidirectional": Cardinality.STREAM_STREAM,
}
METHODS = {kind: method(kind, cardinality) for kind, cardinality in KINDS.items()}
SIZES = (0, 1, 100, 5000, 70_000, 300_000)
REMEMBERED = {
    # Trio forgets deadlines that are over when there are a thousand of them.
    "trio.CancelScope": 1000,
    "trio._core._run.CancelReason": 100,
    # Both ends of a connection remember header blocks.
    "gossipnode.rpc.head.Head": 2 * Limits().max_cached_header_blocks,
    "builtins.mappingproxy": 3 * 2 * Limits().max_cached_header_blocks,
}
LIMITS = Limits(stream_window_bytes=256 << 10, connection_window_bytes=1 << 20)


@dataclass
class Calls:
    """Some calls, and how they ended."""

    random: Random
    losses: bool
    """Whether connections are lost, too."""
    ends: dict[str, int] = field(default_factory=dict)

    def ended(self, how: str) -> None:
        self.ends[how] = self.ends.get(how, 0) + 1

    # The handlers

    async def some_work(self) -> None:
        """Take some time, some turns, or none; one handler in sixteen fails."""
        match self.random.randrange(16):
            case 0:
                raise RpcError(Status.ABORTED, "the handler fails")
            case 1 | 2 | 3:
                await trio.sleep(self.random.random())
            case 4 | 5 | 6:
                await turns(self.random.randrange(8))

    def message(self) -> bytes:
        return bytes(self.random.choice(SIZES))

    async def unary(self, request: bytes, call: object) -> bytes:
        await self.some_work()
        return self.message()

    async def client_streaming(self, stream: ServerStream[bytes, bytes]) -> None:
        while await stream.recv() is not None:
            await self.some_work()
            if not self.random.randrange(8):
                break
        await stream.send(self.message())

    async def server_streaming(self, stream: ServerStream[bytes, bytes]) -> None:
        await stream.recv()
        for _ in range(self.random.randrange(8)):
            await self.some_work()
            await stream.send(self.message())

    async def bidirectional(self, stream: ServerStream[bytes, bytes]) -> None:
        while batch := await stream.recv_batch(4):
            await self.some_work()
            await stream.send_batch(batch)
            if not self.random.randrange(16):
                return

    def handlers(self) -> dict[object, Callable[..., Awaitable[object]]]:
        return {
            METHODS["unary"]: self.unary,
            METHODS["client-streaming"]: self.client_streaming,
            METHODS["server-streaming"]: self.server_streaming,
            METHODS["bidirectional"]: self.bidirectional,
        }

    # The clients

    async def one(self, kind: str, wire: Wire, channel: Channel) -> None:
        """One call, which ends in one way or the other."""
        random = self.random
        deadline = random.choice((None, 0.01, 0.3, 1.0))
        if self.losses and not random.randrange(50):
            await wire.cut()
        try:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    if random.randrange(2):
                        nursery.start_soon(give_up, scope, random.randrange(TURNS_MAX))
                    await self.call(kind, channel, deadline)
                    nursery.cancel_scope.cancel()
        except* RpcError as errors:
            self.ended(first_of(errors).status.name)
        else:
            self.ended("given up" if scope.cancelled_caught else "answered")

    async def call(self, kind: str, channel: Channel, deadline: float | None) -> None:
        if kind == "unary":
            await channel.unary(METHODS[kind], self.message(), timeout=deadline, dial_now=True)
            return
        async with channel.stream(METHODS[kind], timeout=deadline, dial_now=True) as stream:
            if not self.random.randrange(20):
                return  # The stream is left before anything was said.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.send, kind, stream)
                while await stream.recv_batch(2):
                    if not self.random.randrange(16):
                        break
                nursery.cancel_scope.cancel()

    async def send(self, kind: str, stream: ClientStream[bytes, bytes]) -> None:
        # What went wrong is told to the task that receives.
        with suppress(RpcError):
            for _ in range(1 if kind == "server-streaming" else self.random.randrange(6)):
                await stream.send(self.message())
            await stream.half_close()


async def give_up(scope: trio.CancelScope, after_turns: int) -> None:
    await turns(after_turns)
    scope.cancel()


async def turns(number: int) -> None:
    """Let other tasks run so many times."""
    for _ in range(number):
        await trio.lowlevel.checkpoint()


def first_of(errors: BaseExceptionGroup[RpcError]) -> RpcError:
    inner = errors.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner


@asynccontextmanager
async def at_one_server(calls: Calls) -> AsyncGenerator[tuple[Wire, Channel]]:
    server = Server(calls.handlers(), limits=LIMITS)
    async with trio.open_nursery() as nursery:
        wire = Wire(server, nursery)
        async with wire.channel(LIMITS, rng=random.Random(0)) as channel:
            yield wire, channel
        nursery.cancel_scope.cancel()


async def make_calls(calls: Calls, kind: str, count: int, wire: Wire, channel: Channel) -> None:
    """Make calls, a few at a time; then rest, on a connection that is whole."""
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await calls.one(kind, wire, channel)

    with trio.fail_after(count * CALL_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(some)
    wire.ends = wire.ends[-1:]
    with trio.move_on_after(REST_SECONDS):
        while True:
            with suppress(RpcError):
                await channel.unary(METHODS["unary"], b"", timeout=5)
            await trio.sleep(5)


async def leaks_of_calls(
    kind: str, count: int, *, seed: int, losses: bool, warm_up: int
) -> tuple[list[str], dict[str, int], int]:
    """What `count` calls have left behind; how they ended; and how many bytes more are traced."""
    calls = Calls(Random(seed), losses)
    async with at_one_server(calls) as (wire, channel):
        await make_calls(calls, kind, warm_up, wire, channel)
        calls.ends.clear()
        before = await count_alive()
        await make_calls(calls, kind, count, wire, channel)
        after = await count_alive()
        found = left_behind(before, after, calls=count, remembered=REMEMBERED)
        found += left_on_connections(wire.server)
    return found, calls.ends, grown(before, after)


def grown(before: Alive, after: Alive) -> int:
    return after.traced_bytes - before.traced_bytes


def left_on_connections(server: Server) -> list[str]:
    """What is left on the two ends of the one connection that there is now."""
    found = [] if not server.call_count else [f"{server.call_count} calls at the server"]
    connections = list(all_of(Connection))  # type: ignore[type-abstract]
    found += [] if len(connections) == 2 else [f"{len(connections)} ends of connections"]
    for connection in connections:
        end = "the client" if connection.client else "the server"
        # Credit is given back in quarters of a window.
        whole = LIMITS.connection_window_bytes * 3 // 4
        heads = connection._decoder._heads_bytes * _HEAD_FACTOR
        left = {
            "streams": len(connection.streams),
            "blocked senders": len(connection.blocked),
            "bytes of the budget": connection.memory.held - CONNECTION_BYTES - heads,
            "unsent bytes": len(connection.out),
            "lost bytes of the window for reading": max(0, whole - connection.receive_window),
            "lost bytes of the window for sending": max(0, whole - connection.send_window),
        }
        found += [f"{number} {what} at {end}" for what, number in left.items() if number]
    found += ["room for replies" for budget in all_of(ReplyBudget) if budget._held]
    return found
