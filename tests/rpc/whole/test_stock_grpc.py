"""Our server with a stock grpcio client, and our client with a stock grpcio server, over loopback."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import grpc
import pytest
import trio

from gossipnode.rpc import Channel, RpcError, Server, Status
from gossipnode.rpc.server.health import HealthService, ServingStatus
from tests.rpc.methods import FLOW, UNARY, echo_flow

pytestmark = pytest.mark.slow
SECONDS = 20


@asynccontextmanager
async def our_server(handlers):
    server = Server(handlers)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(server.serve, listeners)
        yield server, f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_stock_client_unary():
    async def handler(request, call):
        if request == b"fail":
            call.trailing_metadata["hint-bin"] = b"\0\1"
            raise RpcError(Status.FAILED_PRECONDITION, "größer, 100 %")
        if request == b"hang":
            await trio.sleep_forever()
        call.initial_metadata["first"] = call.metadata["key"]
        call.trailing_metadata["last-bin"] = call.metadata["key-bin"]
        return request[::-1]

    def client(target):
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary(UNARY.path)
            metadata = [("key", "v"), ("key-bin", b"\xff\0")]
            for _ in range(3):
                reply, info = call.with_call(b"abc", timeout=SECONDS, metadata=metadata)
                assert reply == b"cba"
                assert ("first", "v") in info.initial_metadata()
                assert ("last-bin", b"\xff\0") in info.trailing_metadata()
            big = bytes(range(256)) * 15_000
            assert call(big, timeout=SECONDS, metadata=metadata) == big[::-1]
            with pytest.raises(grpc.RpcError) as caught:
                call(b"fail", timeout=SECONDS)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert caught.value.details() == "größer, 100 %"
            assert ("hint-bin", b"\0\1") in caught.value.trailing_metadata()
            with pytest.raises(grpc.RpcError) as caught:
                call(b"hang", timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/no/Method")(b"x", timeout=SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            with pytest.raises(grpc.RpcError) as caught:
                call(b"x" * 2000, timeout=SECONDS, compression=grpc.Compression.Deflate)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            squeezed = call(
                b"xy" * 2000, timeout=SECONDS, metadata=metadata, compression=grpc.Compression.Gzip
            )
            assert squeezed == b"yx" * 2000

    async with our_server({UNARY: handler}) as (_, target):
        await trio.to_thread.run_sync(client, target)


async def test_stock_client_streams():
    def client(target):
        with grpc.insecure_channel(target) as channel:
            call = channel.stream_stream(FLOW.path)
            messages = [b"%d" % number * 200 for number in range(2000)]
            assert list(call(iter(messages), timeout=SECONDS)) == messages
            # One at a time, so that each goes there and back alone.
            outgoing = queue.SimpleQueue()
            replies = call(iter(outgoing.get, None), timeout=SECONDS)
            for message in messages[:50]:
                outgoing.put(message)
                assert next(replies) == message
            replies.cancel()
            outgoing.put(None)

    async with our_server({FLOW: echo_flow}) as (server, target):
        await trio.to_thread.run_sync(client, target)
        with trio.fail_after(5):
            while server.call_count:
                await trio.lowlevel.checkpoint()


async def test_stock_client_and_a_drained_server():
    started, may_end = trio.Event(), threading.Event()

    async def handler(request, call):
        started.set()
        await trio.to_thread.run_sync(may_end.wait)
        return request

    def client(target):
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary(UNARY.path)(b"x", timeout=SECONDS) == b"x"

    async with our_server({UNARY: handler}) as (server, target):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, client, target)
            await started.wait()
            nursery.start_soon(server.drain, SECONDS)
            may_end.set()
        assert server.connection_count == 0


async def test_stock_client_of_health():
    health = HealthService({"": ServingStatus.SERVING, "a": ServingStatus.NOT_SERVING})

    def client(target):
        with grpc.insecure_channel(target) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=SECONDS) == b"\x08\1"
            assert check(b"\x0a\1a", timeout=SECONDS) == b"\x08\2"
            with pytest.raises(grpc.RpcError) as caught:
                check(b"\x0a\1b", timeout=SECONDS)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    async with our_server(health.handlers()) as (_, target):
        await trio.to_thread.run_sync(client, target)


class StockHandlers(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == UNARY.path:
            return grpc.unary_unary_rpc_method_handler(self.unary)
        if details.method == FLOW.path:
            return grpc.stream_stream_rpc_method_handler(self.flow)
        return None

    def unary(self, request, context):
        if request == b"fail":
            context.set_trailing_metadata([("hint-bin", b"\0\1")])
            context.abort(grpc.StatusCode.NOT_FOUND, "größer, 100 %")
        if request == b"hang":
            context.add_callback(lambda: None)
            threading.Event().wait(0.5)
        context.send_initial_metadata([("first", dict(context.invocation_metadata()).get("key", ""))])
        context.set_trailing_metadata([("last-bin", b"\xff\0")])
        return request[::-1]

    def flow(self, requests, context):
        for request in requests:
            if request == b"fail":
                context.abort(grpc.StatusCode.ABORTED, "enough")
            yield request


@pytest.fixture
def stock_port():
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((StockHandlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


async def test_stock_server(stock_port):
    async with Channel(partial(trio.open_tcp_stream, "127.0.0.1", stock_port)) as channel:
        for _ in range(3):
            result = await channel.unary_call(UNARY, b"abc", timeout=SECONDS, metadata={"key": "v"})
            assert result.reply == b"cba"
            assert result.initial_metadata == {"first": "v"}
            assert result.trailing_metadata == {"last-bin": b"\xff\0"}
        big = bytes(range(256)) * 15_000
        assert await channel.unary(UNARY, big, timeout=SECONDS) == big[::-1]
        with pytest.raises(RpcError, match="größer, 100 %") as caught:
            await channel.unary(UNARY, b"fail", timeout=SECONDS)
        assert caught.value.status is Status.NOT_FOUND
        assert caught.value.trailing_metadata == {"hint-bin": b"\0\1"}
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"hang", timeout=0.1)
        assert caught.value.status is Status.DEADLINE_EXCEEDED


async def test_stock_server_streams(stock_port):
    async with Channel(partial(trio.open_tcp_stream, "127.0.0.1", stock_port)) as channel:
        messages = [b"%d" % number * 200 for number in range(2000)]
        async with channel.stream(FLOW, timeout=SECONDS) as stream:

            async def send():
                for start in range(0, len(messages), 16):
                    await stream.send_batch(messages[start : start + 16])
                await stream.half_close()

            replies = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                while batch := await stream.recv_batch(16):
                    replies += batch
            assert replies == messages
        async with channel.stream(FLOW, timeout=SECONDS) as stream:
            await stream.send(b"1")
            assert await stream.recv() == b"1"
            await stream.send(b"fail")
            with pytest.raises(RpcError, match="enough") as caught:
                await stream.recv()
            assert caught.value.status is Status.ABORTED
        for _ in range(20):
            async with channel.stream(FLOW, timeout=SECONDS) as stream:
                await stream.send(b"1")  # and leave: RST_STREAM(CANCEL)
        assert await channel.unary(UNARY, b"ab", timeout=SECONDS) == b"ba"
