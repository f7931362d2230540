"""One call at the server: its one request, its one status, and its end."""

import gzip
import logging

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
)

from gossipnode.rpc import Limits, RpcError, Status
from tests.rpc.methods import FLOW, UNARY, echo
from tests.rpc.raw_peer import message
from tests.rpc.wired import against, wired


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0\xff\xff\xff\xff", Status.RESOURCE_EXHAUSTED),
        (b"\0\0\x40\0\1", Status.RESOURCE_EXHAUSTED),
        (message(b"x", flag=1), Status.INTERNAL),
    ],
)
@pytest.mark.parametrize("path", ["Unary", "Flow"])
async def test_message_that_is_refused_unread(caplog, data, status, path):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, f"/test.Test/{path}"), DataFrame(1, data))
        assert (await peer.fields(1))["grpc-status"] == str(status.value)
        assert await peer.reset(1) == ErrorCodes.NO_ERROR


async def test_requests_may_be_compressed(caplog):
    squeezed = gzip.compress(b"hello" * 100)
    async with against(caplog) as peer:
        await peer.send(
            peer.request(1, UNARY.path, ("grpc-encoding", "gzip")),
            DataFrame(1, message(squeezed, flag=1), flags=["END_STREAM"]),
        )
        answer = await peer.until(lambda frame: isinstance(frame, DataFrame))
        assert answer.data == message(b"hello" * 100)


async def test_an_unknown_compression_is_answered_with_those_that_are_known(caplog):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, UNARY.path, ("grpc-encoding", "deflate"), end=True))
        fields = await peer.fields(1)
        assert fields["grpc-status"] == str(Status.UNIMPLEMENTED.value)
        assert fields["grpc-accept-encoding"] == "identity,gzip"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", Status.INVALID_ARGUMENT),
        (b"\0\0\0", Status.INVALID_ARGUMENT),
        (message(b"xy")[:-1], Status.INVALID_ARGUMENT),
        (message(b"x") * 2, Status.INVALID_ARGUMENT),
        (message(b"x") + b"\0", Status.INVALID_ARGUMENT),
    ],
)
async def test_unary_request_that_is_not_one_message(caplog, data, status):
    async with against(caplog) as peer:
        await peer.send(peer.request(1), DataFrame(1, data, flags=["END_STREAM"]))
        assert (await peer.fields(1))["grpc-status"] == str(status.value)


async def test_unary_request_that_never_ends(autojump_clock):
    async with wired(limits=Limits(request_seconds=25)) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1), DataFrame(1, b"\0\0\0\0\5he"))
        assert (await peer.fields(1))["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)
        assert trio.current_time() == 25
        assert wire.server.call_count == 0


@pytest.mark.parametrize("in_nursery", [False, True])
async def test_status_of_a_handler(in_nursery):
    async def fail():
        raise RpcError(Status.NOT_FOUND, "no entity “x”, 100 %\n")

    async def handler(request, call):
        call.trailing_metadata["hint-bin"] = b"\0\xff"
        call.trailing_metadata["hint"] = "elsewhere"
        if not in_nursery:
            await fail()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail)

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=5)
    assert caught.value.status is Status.NOT_FOUND
    assert caught.value.message == "no entity “x”, 100 %\n"
    assert caught.value.trailing_metadata == {"hint-bin": b"\0\xff", "hint": "elsewhere"}


async def test_unexpected_exception_tells_the_peer_nothing(caplog):
    async def handler(request, call):
        raise KeyError("secret")

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        with caplog.at_level(logging.ERROR, "gossipnode.rpc"), pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=5)
    assert caught.value.status is Status.INTERNAL
    assert "secret" not in caught.value.message
    assert "secret" in caplog.text


async def test_request_that_cannot_be_decoded():
    async with wired() as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="not a message") as caught:
            await channel.unary(UNARY, b"bad", timeout=5)
        assert caught.value.status is Status.INVALID_ARGUMENT
        async with channel.stream(FLOW, timeout=5) as stream:
            await stream.send(b"bad")
            with pytest.raises(RpcError) as caught:
                await stream.recv()
            assert caught.value.status is Status.INVALID_ARGUMENT


async def test_deadline_at_the_server(autojump_clock):
    async def handler(stream):
        await trio.sleep_forever()

    async with wired({FLOW: handler}) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1, FLOW.path, ("grpc-timeout", "5S")))
        assert (await peer.fields(1))["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)
        assert trio.current_time() == 5


async def test_handler_is_cancelled_when_the_connection_is_lost():
    started, cancelled = trio.Event(), trio.Event()

    async def handler(request, call):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:

        async def cut():
            await started.wait()
            await wire.cut()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            with pytest.raises(RpcError) as caught:
                await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAVAILABLE
        await cancelled.wait()


async def test_handler_that_returns_while_the_peer_still_sends():
    async def handler(stream):
        await stream.recv()
        stream.call.trailing_metadata["seen"] = "1"

    async with wired({FLOW: handler, UNARY: echo}) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as stream:

            async def send_for_ever():
                while True:
                    await stream.send(b"x" * 50_000)

            with pytest.raises(RpcError) as caught:
                await send_for_ever()
            assert caught.value.status is Status.CANCELLED
            assert await stream.recv() is None
            await stream.finish()
            assert stream.trailing_metadata == {"seen": "1"}
        assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
        assert wire.dials == 1


async def test_observer_that_fails_costs_nothing(caplog):
    def observe(path, status, seconds):
        raise KeyError("observer")

    async with wired(observe=observe) as wire, wire.channel() as channel:
        for _ in range(2):
            assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
            await trio.testing.wait_all_tasks_blocked()
        assert wire.dials == 1
    assert "observer" in caplog.text
