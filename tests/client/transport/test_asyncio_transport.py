"""The application's tasks and timeouts under asyncio, strange answers, and what we use of grpclib."""

from __future__ import annotations

import asyncio
import gc
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpclib.client
import grpclib.config
import grpclib.encoding.base
import grpclib.protocol
import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded
from h2.settings import SettingCodes

from gossipnode.client import ClientError, FailedError, UnreachableError, connect
from gossipnode.client.transport.asyncio_transport import _apart, _Channel, _configuration
from gossipnode.rpc import CallContext
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.client.support import on_loopback, stored, take

Answer = Callable[[H2Connection, int], None]
HEADERS = [(":status", "200"), ("content-type", "application/grpc+proto")]


@asynccontextmanager
async def h2_peer(answer: Answer) -> AsyncIterator[str]:
    """A server of bare HTTP/2 that answers each request with `answer`."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, StreamEnded):
                        answer(connection, event.stream_id)
                writer.write(connection.data_to_send())
        except (ConnectionError, RuntimeError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
    if tasks:
        await asyncio.wait(tasks)


def message(data: bytes, *, flag: int = 0, announced: int | None = None) -> bytes:
    return struct.pack(">BI", flag, len(data) if announced is None else announced) + data


def ending(data: bytes) -> Answer:
    """Answer with headers, these bytes, and the status OK."""

    def answer(connection: H2Connection, stream: int) -> None:
        connection.send_headers(stream, HEADERS)
        connection.send_data(stream, data)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    return answer


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the answer to a unary call is not one message"),
        (b"\0\0\0", "the answer ends within a message"),
        (message(b"abc", announced=5), "the answer ends within a message"),
        (message(b"abc", flag=1), "the answer is compressed"),
        (message(b"", announced=1 << 31), "an answer of 2,147,483,648 bytes is over 4,194,304 bytes"),
        (message(b"\xff"), "cannot be decoded: "),
    ],
)
def test_an_answer_that_is_none(data: bytes, problem: str) -> None:
    async def work() -> None:
        async with h2_peer(ending(data)) as address, connect(address, timeout=5) as client:
            with pytest.raises(ClientError) as caught:
                await client.get("g", "n", "i")
            assert problem in str(caught.value)
            assert type(caught.value) is FailedError

    asyncio.run(work())


@pytest.mark.parametrize("content_type", ["text/html", "application/grpc+json"])
def test_an_answer_that_is_no_grpc(content_type: str) -> None:
    def answer(connection: H2Connection, stream: int) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-type", content_type)], end_stream=True)

    async def work() -> None:
        async with h2_peer(answer) as address, connect(address, timeout=5) as client:
            with pytest.raises(FailedError, match="content-type"):
                await client.get("g", "n", "i")

    asyncio.run(work())


def test_a_connection_that_goes_away_is_opened_again() -> None:
    """The server sends GOAWAY in place of the second answer, as one that drains does."""
    requests: list[int] = []

    def answer(connection: H2Connection, stream: int) -> None:
        requests.append(stream)
        if stream == 1:
            ending(message(bytes(messages.GetResponse())))(connection, stream)
        else:
            connection.close_connection(last_stream_id=1)

    async def work() -> None:
        async with h2_peer(answer) as address, connect(address, timeout=5) as client:
            for _ in range(3):
                assert await client.get("g", "n", "i") is None

    asyncio.run(work())
    assert requests == [1, 3, 1, 3, 1]


def test_calls_wait_for_a_free_stream() -> None:
    """The server allows one stream at a time."""

    def answer(connection: H2Connection, stream: int) -> None:
        connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        ending(message(bytes(messages.GetResponse())))(connection, stream)

    async def work() -> None:
        async with h2_peer(answer) as address, connect(address, timeout=5) as client:
            await client.get("g", "n", "i")
            assert await asyncio.gather(*[client.get("g", "n", "i") for _ in range(20)]) == [None] * 20

    asyncio.run(work())


# --- the application's tasks ---


async def hang(request: messages.GetRequest, call: CallContext) -> messages.GetResponse:
    if request.id == "hang":
        await trio.sleep_forever()
    return messages.GetResponse(record=stored(request.id))


def with_hanging_node(work: Callable[[str], Awaitable[None]]) -> None:
    with on_loopback({services.NODE_GET: hang}) as address:
        asyncio.run(work(address))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_call_that_fails_leaves_its_task_uncancelled() -> None:
    """grpclib cancels the task that waits and does not take it back, which would break later timeouts."""

    async def work(address: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with connect(address, timeout=0.2) as client:
            with pytest.raises(UnreachableError):
                await client.get("g", "n", "hang")
            assert task.cancelling() == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.get("g", "n", "hang")
            assert task.cancelling() == 0
            async with asyncio.TaskGroup() as group:
                found = group.create_task(client.get("g", "n", "i"))
            assert (await found) is not None

    with_hanging_node(work)


@pytest.mark.slow
def test_a_task_that_is_cancelled_in_a_call() -> None:
    async def work(address: str) -> None:
        async with connect(address) as client:
            calls = [asyncio.ensure_future(client.get("g", "n", "hang")) for _ in range(5)]
            await client.get("g", "n", "i")
            for call in calls:
                call.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(end) for end in ended] == [asyncio.CancelledError] * 5
            assert (await client.get("g", "n", "i")) is not None

    with_hanging_node(work)


def test_the_task_that_holds_the_client_is_cancelled() -> None:
    async def work(address: str) -> None:
        inside = asyncio.Event()

        async def hold() -> None:
            async with connect(address) as client:
                await client.get("g", "n", "i")
                inside.set()
                await client.get("g", "n", "hang")

        holder = asyncio.ensure_future(hold())
        await inside.wait()
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with_hanging_node(work)


def test_nothing_is_left_behind() -> None:
    """No task and no connection is left after the block. A warning would fail this test."""

    async def work() -> None:
        def answer(connection: H2Connection, stream: int) -> None:
            records = messages.RecordBatch(records=[stored("i")])
            connection.send_headers(stream, HEADERS)
            connection.send_data(stream, message(bytes(records)))

        async with h2_peer(answer) as address:
            async with connect(address) as client:
                records = client.query("g")
                await anext(records)
            with pytest.raises(ClientError):
                await take(records)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert all("serve" in repr(task) for task in others)

    asyncio.run(work())


def test_the_client_is_closed_while_a_call_dials() -> None:
    """The connection is made too late. It is closed at once, and the call ends."""

    async def work() -> None:
        accepted, greet = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted.set()
            await greet.wait()
            connection = H2Connection(H2Configuration(client_side=False))
            connection.initiate_connection()
            writer.write(connection.data_to_send())
            while await reader.read(65536):
                pass
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            async with connect(f"{host}:{port}", timeout=5) as client:
                call = asyncio.ensure_future(client.get("g", "n", "i"))
                await accepted.wait()
            greet.set()
            with pytest.raises(ClientError, match="the client is closed"):
                await call

    asyncio.run(work())


def test_what_is_done_apart_and_ends_badly_when_cancelled() -> None:
    """The cancellation is what counts, and asyncio does not log the other error."""
    forgotten: list[Any] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            raise KeyError("mine") from None

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: forgotten.append(context))
        task = asyncio.ensure_future(_apart(stubborn()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()

    asyncio.run(work())
    assert forgotten == []


# --- grpclib ---


def test_what_we_use_of_grpclibs_private_parts() -> None:
    """Each part is named here, so that a version of grpclib without it fails this test and names the part."""
    for name in ("_recv_initial_metadata_done", "recv_initial_metadata", "recv_trailing_metadata"):
        assert hasattr(grpclib.client.Stream, name)
    for name in ("_protocol", "_protocol_factory", "_create_connection", "close"):
        assert hasattr(grpclib.client.Channel, name)
    for name in ("recv_data",):
        assert hasattr(grpclib.protocol.Stream, name)
    for name in ("connection_lost", "connection_made"):
        assert hasattr(grpclib.protocol.H2Protocol, name)

    async def work() -> None:
        channel = _Channel("127.0.0.1", 1, config=_configuration())
        made: Any = channel.call(services.NODE_GET, 1.0)
        assert made._codec is channel._codec
        assert (channel._config._keepalive_time, channel._config._keepalive_timeout) == (20.0, 10.0)
        assert made._dispatch is channel.__dispatch__
        async with made:
            assert made._wrapper is not None

    asyncio.run(work())
