"""The gRPC layer alone, with the stock one (grpcio's asyncio API) and grpclib beside it in the same run.

Two processes on loopback. `echo`: unary calls of 200 bytes. `stream`: 2 KB messages to one that counts, 16 in
each `send_batch` of ours. `single_send`: a server sends 2 KB messages one by one, as most handlers do.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import grpclib.client
import grpclib.server
import trio
from grpclib.const import Handler
from grpclib.encoding.base import CodecBase

from benchmarks.nodes import BenchmarkError
from benchmarks.scale import CLIENTS, Scale
from gossipnode.rpc import CallContext, Cardinality, Channel, Method, Server, ServerStream

BATCH = [b"x" * 2048] * 16
ECHO = Method("/bench.Bench/Echo", Cardinality.UNARY_UNARY, bytes, bytes, bytes, bytes)
COUNT = Method("/bench.Bench/Count", Cardinality.STREAM_UNARY, bytes, bytes, bytes, bytes)
SEND = Method("/bench.Bench/Send", Cardinality.UNARY_STREAM, bytes, bytes, bytes, bytes)


async def rpc(scale: Scale) -> dict[str, object]:
    """Calls and messages a second, ours and the stock one's."""
    figures: dict[str, object] = {}
    async with server("own") as port, Channel(lambda: trio.open_tcp_stream("127.0.0.1", port)) as channel:  # noqa: ASYNC105
        for callers in CLIENTS:
            figures[f"own_echo_{callers}_callers_per_second"] = await own_echo(
                channel, callers, scale.load_seconds
            )
        figures["own_stream_messages_per_second"] = await own_stream(channel, scale.load_seconds)
        figures["own_single_send_messages_per_second"] = await own_single_send(channel, scale.load_seconds)
    async with server("grpclib") as port:
        figures["grpclib_single_send_messages_per_second"] = await trio.to_thread.run_sync(
            lambda: asyncio.run(grpclib_single_send(port, scale.load_seconds))
        )
    async with server("stock") as port:
        figures |= await trio.to_thread.run_sync(lambda: asyncio.run(stock_client(port, scale.load_seconds)))
    return figures


@asynccontextmanager
async def server(kind: str) -> AsyncIterator[int]:
    """A server process; gives its port."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "benchmarks.rpc", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    said = b""
    while not said.endswith(b"\n"):
        part = await process.stdout.receive_some(64)
        if not part:
            raise BenchmarkError(f"the {kind} server ended before it served")
        said += part
    try:
        yield int(said)
    finally:
        await process.stdin.aclose()
        await process.wait()


async def own_echo(channel: Channel, callers: int, seconds: float) -> int:
    """Our calls a second."""
    until = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await channel.unary(ECHO, b"x" * 200, timeout=30)
            done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(caller)
    return round(done / seconds)


async def own_stream(channel: Channel, seconds: float) -> int:
    """Our messages a second."""
    began = time.perf_counter()
    async with channel.stream(COUNT, timeout=None) as stream:
        while time.perf_counter() < began + seconds:
            await stream.send_batch(BATCH)
        await stream.half_close()
        counted = await stream.recv()
    return round(int(counted or b"0") / (time.perf_counter() - began))


async def own_single_send(channel: Channel, seconds: float) -> int:
    """Messages a second that our server sends one by one and our client receives one by one."""
    began = time.perf_counter()
    received = 0
    async with channel.stream(SEND, timeout=None) as stream:
        await stream.send(b"")
        while time.perf_counter() < began + seconds:
            await stream.recv()
            received += 1
    return round(received / (time.perf_counter() - began))


async def stock_client(port: int, seconds: float) -> dict[str, object]:
    """The same by grpcio."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo = channel.unary_unary(ECHO.path)
        figures: dict[str, object] = {}
        for callers in CLIENTS:
            figures[f"stock_echo_{callers}_callers_per_second"] = await _stock_echo(echo, callers, seconds)
        call = channel.stream_unary(COUNT.path)()
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            for message in BATCH:
                await call.write(message)
        await call.done_writing()
        figures["stock_stream_messages_per_second"] = round(int(await call) / (time.perf_counter() - began))
        return figures


async def _stock_echo(echo: Callable[[bytes], Awaitable[bytes]], callers: int, seconds: float) -> int:
    until = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await echo(b"x" * 200)
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return round(done / seconds)


# --- the server's process ---


async def own_server() -> None:
    """Serve until standard input ends."""

    async def echo(request: bytes, call: CallContext) -> bytes:
        return request

    async def count(stream: ServerStream[bytes, bytes]) -> None:
        counted = 0
        while batch := await stream.recv_batch(16):
            counted += len(batch)
        await stream.send(b"%d" % counted)

    async def send(stream: ServerStream[bytes, bytes]) -> None:
        await stream.recv()
        while True:
            await stream.send(BATCH[0])

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(Server({ECHO: echo, COUNT: count, SEND: send}).serve, listeners)
        print(listeners[0].socket.getsockname()[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


class Raw(CodecBase):
    """Messages of grpclib that are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """Bytes as they are."""
        return cast("bytes", message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        """Bytes as they are."""
        return data


async def grpclib_single_send(port: int, seconds: float) -> int:
    """The same by grpclib on asyncio."""
    async with grpclib.client.Channel("127.0.0.1", port, codec=Raw()) as channel:
        began = time.perf_counter()
        received = 0
        async with channel.request(SEND.path, SEND.cardinality, bytes, bytes) as stream:
            await stream.send_message(b"", end=True)
            while time.perf_counter() < began + seconds:
                await stream.recv_message()
                received += 1
            await stream.cancel()
        return round(received / (time.perf_counter() - began))


class GrpclibService:
    """Sends until the client has enough."""

    async def send(self, stream: grpclib.server.Stream[bytes, bytes]) -> None:
        """Send messages one by one."""
        await stream.recv_message()
        while True:
            await stream.send_message(BATCH[0])

    def __mapping__(self) -> dict[str, Any]:
        return {SEND.path: Handler(self.send, SEND.cardinality, bytes, bytes)}


async def grpclib_server() -> None:
    """Serve by grpclib until standard input ends."""
    # The client leaves in the middle of its answer, of which asyncio would complain.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    running = grpclib.server.Server([GrpclibService()], codec=Raw())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await running.start(sock=listening)
        print(listening.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        running.close()


async def stock_server() -> None:
    """The same by grpcio."""

    async def echo(request: bytes, context: object) -> bytes:
        return request

    async def count(requests: AsyncIterator[bytes], context: object) -> bytes:
        counted = 0
        async for _ in requests:
            counted += 1
        return b"%d" % counted

    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Count": grpc.stream_unary_rpc_method_handler(count),
    }
    running = grpc.aio.server()
    running.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Bench", handlers)])
    print(running.add_insecure_port("127.0.0.1:0"), flush=True)
    await running.start()
    await asyncio.to_thread(sys.stdin.read)
    await running.stop(None)


if __name__ == "__main__":
    if sys.argv[1] == "own":
        trio.run(own_server)
    else:
        asyncio.run(stock_server() if sys.argv[1] == "stock" else grpclib_server())
