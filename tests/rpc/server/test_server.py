"""The server: which connections and calls it accepts, how it refuses, and how it drains."""

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
)

from gossipnode.rpc import Limits, RpcError, Status
from tests.rpc.methods import FLOW, UNARY
from tests.rpc.raw_peer import message
from tests.rpc.wired import against, status_of, wired


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":method", "GET"), ("content-type", "application/grpc")], "405"),
        ([(":method", "POST"), ("content-type", "text/plain")], "415"),
        ([(":method", "POST"), ("content-type", "application/grpc+json")], "415"),
        ([(":method", "POST")], "415"),
    ],
)
async def test_request_that_is_not_grpc(caplog, fields, status):
    async with against(caplog) as peer:
        fields = [fields[0], (":path", UNARY.path), (":scheme", "http"), *fields[1:]]
        await peer.send(peer.headers(1, fields, end=True))
        assert (await peer.fields(1))[":status"] == status


@pytest.mark.parametrize(
    "content_type", ["application/grpc", "application/grpc+proto", "application/grpc; a=b"]
)
async def test_content_types_that_are_grpc(caplog, content_type):
    async with against(caplog) as peer:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", UNARY.path)]
        fields.append(("content-type", content_type))
        await peer.send(peer.headers(1, fields), DataFrame(1, message(b"x"), flags=["END_STREAM"]))
        assert await peer.fields(1) == {":status": "200", "content-type": "application/grpc+proto"}


@pytest.mark.parametrize("value", ["", "5", "S", "123456789S", "-1S", "1.5S", "٣S", "9" * 5000 + "S"])
async def test_malformed_timeout(caplog, value):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, UNARY.path, ("grpc-timeout", value), end=True))
        if value.isascii():
            assert (await peer.fields(1))["grpc-status"] == str(Status.INVALID_ARGUMENT.value)
        else:
            assert await peer.reset(1) == ErrorCodes.PROTOCOL_ERROR


@pytest.mark.parametrize("value", ["0n", "0S", "00000000H"])
async def test_a_timeout_of_nothing_has_passed(caplog, value):
    async with against(caplog) as peer:
        await peer.send(
            peer.request(1, UNARY.path, ("grpc-timeout", value)),
            DataFrame(1, message(b"x"), flags=["END_STREAM"]),
        )
        assert (await peer.fields(1))["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)


async def test_connections_beyond_the_limit_are_refused():
    async with wired(limits=Limits(max_connections=2)) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as running:
            await running.send(b"x")
            await running.recv()
            first = await wire.raw()
            await first.start()
            await first.send(first.request(1, FLOW.path))
            await trio.testing.wait_all_tasks_blocked()
            second = await wire.raw()
            assert await second.frame() is None
            await trio.aclose_forcefully(first.stream)
            await trio.testing.wait_all_tasks_blocked()
            async with wire.channel() as other:
                assert await other.unary(UNARY, b"x", timeout=5) == b"x"


async def test_the_connection_that_was_idle_for_longest_gives_way():
    async with wired(limits=Limits(max_connections=2)) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as running:
            await running.send(b"x")
            assert await running.recv() == b"x"
            for _ in range(5):
                idle = await wire.raw()
                await idle.start()
                await trio.testing.wait_all_tasks_blocked()
                assert wire.server.connection_count == 2
                async with wire.channel() as other:
                    assert await other.unary(UNARY, b"x", timeout=5) == b"x"
                assert await idle.goaway() == ErrorCodes.NO_ERROR
            await running.send(b"y")
            assert await running.recv() == b"y"


class Listener(trio.abc.Listener):
    """Accepts what a script says: errors, then streams."""

    def __init__(self, script):
        self.script = list(script)

    async def accept(self):
        await trio.lowlevel.checkpoint()
        if not self.script:
            await trio.sleep_forever()
        item = self.script.pop(0)
        if isinstance(item, OSError):
            raise item
        return item

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def test_accepting_survives_errors(autojump_clock, caplog):
    ours, theirs = trio.testing.memory_stream_pair()
    errors = [OSError(24, "Too many open files")] * 50 + [OSError(103, "Connection aborted")]
    async with wired() as wire:
        await wire.nursery.start(wire.server.serve, [Listener([*errors, theirs])])

        async def connect():
            await trio.lowlevel.checkpoint()
            return ours

        wire.connect = connect
        async with wire.channel() as channel:
            assert await channel.unary(UNARY, b"x", timeout=60) == b"x"
        assert 4 <= trio.current_time() <= 6


async def test_unknown_method():
    async with wired({}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNIMPLEMENTED


async def test_authorize_runs_before_any_handler():
    handled = []

    def authorize(call):
        if call.metadata.get("token") == "broken":
            raise KeyError("secret")
        if call.metadata.get("token") != "good":
            raise RpcError(Status.UNAUTHENTICATED, "who are you?")

    async def handler(request, call):
        handled.append(request)
        return request

    ended = []
    options = {"authorize": authorize, "observe": lambda *what: ended.append(what[:2])}
    async with wired({UNARY: handler}, **options) as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="who are you") as caught:
            await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAUTHENTICATED
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=5, metadata={"token": "broken"})
        assert caught.value.status is Status.INTERNAL
        assert handled == []
        await channel.unary(UNARY, b"x", timeout=5, metadata={"token": "good"})
        assert handled == [b"x"]
    expected = [Status.UNAUTHENTICATED, Status.INTERNAL, Status.OK]
    assert ended == [(UNARY.path, status) for status in expected]


async def test_drained_server(autojump_clock):
    """Running streams finish, new calls go to a new connection, and the old one ends."""
    async with wired() as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=50) as stream:
            await stream.send(b"1")
            assert await stream.recv() == b"1"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.server.drain, 20)
                await trio.testing.wait_all_tasks_blocked()
                await stream.send(b"2")
                assert await stream.recv() == b"2"
                call = channel.unary(UNARY, b"x", timeout=5)
                assert await status_of(call) is Status.UNAVAILABLE  # it accepts no connections
                await stream.finish()
        assert wire.dials == 2
        assert trio.current_time() < 1
        assert wire.server.connection_count == 0


async def test_drain_ends_calls_after_its_grace(autojump_clock):
    async with wired() as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=50) as stream:
            await stream.send(b"1")
            await stream.recv()
            await wire.server.drain(20)
            assert trio.current_time() == pytest.approx(20, abs=1)
            assert await status_of(stream.recv()) is Status.UNAVAILABLE
        assert wire.server.connection_count == 0
        assert wire.server.call_count == 0
