"""What one call does must not touch another call of its connection: a health watch hears of all changes."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame

from gossipnode.rpc import Limits, RpcError, Status
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.headers import HeaderEncoder
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from gossipnode.rpc.message_framing import frame_message
from gossipnode.rpc.server.health import WATCH, HealthService, ServingStatus
from tests.rpc.http2.joined import OK, RESPONSE, Joined
from tests.rpc.methods import FLOW, UNARY, echo
from tests.rpc.raw_peer import message
from tests.rpc.wired import wired


async def sleepy(request, call):
    await trio.sleep_forever()


@asynccontextmanager
async def watched(handlers):
    """A channel with a health watch, which afterwards still hears of changes over the first connection."""
    health = HealthService()
    async with wired({**health.handlers(), **handlers}) as wire, wire.channel() as channel:
        async with channel.stream(WATCH, timeout=None) as watch:
            await watch.send("")
            assert await watch.recv() is ServingStatus.SERVING
            yield channel
            health.set("", ServingStatus.NOT_SERVING)
            assert await watch.recv() is ServingStatus.NOT_SERVING
        assert wire.dials == 1
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.call_count == 0


async def test_an_early_end_with_data_in_flight():
    async def refuse(stream):
        raise RpcError(Status.INVALID_ARGUMENT, "a bad record")

    health = HealthService()
    async with wired({**health.handlers(), FLOW: refuse}) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1, WATCH.path), DataFrame(1, message(b""), flags=["END_STREAM"]))
        await peer.until(lambda frame: isinstance(frame, DataFrame))
        await peer.send(peer.request(3, FLOW.path))
        assert await peer.reset(3) == ErrorCodes.NO_ERROR
        await peer.send(b"".join([DataFrame(3, message(b"record")).serialize()] * 20_000))
        health.set("", ServingStatus.NOT_SERVING)
        told = await peer.until(lambda frame: isinstance(frame, DataFrame))
        assert told.data == message(b"\x08\x02")


def test_a_stream_of_small_messages_that_is_left_early():
    joined = Joined()
    ours, theirs = joined.call()
    joined.server.write_headers(theirs, RESPONSE, [])
    joined.exchange()
    joined.client.finish(ours)
    data = frame_message(bytes(100))
    for _ in range(20_000):
        joined.server.write_data(theirs, data, 0, end=False)
        joined.client.receive(bytes(joined.server.out))
        joined.server.out.clear()
    joined.exchange()
    assert not joined.client.closing


async def test_a_thousand_deadlines(autojump_clock):
    async with watched({UNARY: sleepy}) as channel:

        async def call():
            with pytest.raises(RpcError) as caught:
                await channel.unary(UNARY, b"x", timeout=0.05)
            assert caught.value.status is Status.DEADLINE_EXCEEDED

        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(call)


async def test_streams_begun_and_cancelled():
    async def idle(stream):
        await trio.sleep_forever()

    async with watched({FLOW: idle, UNARY: echo}) as channel:
        for _ in range(1_200):
            async with channel.stream(FLOW, timeout=None) as stream:
                await stream.send(b"x")
        assert await channel.unary(UNARY, b"x", timeout=None) == b"x"


# What is sent on ended calls is still counted where it carries nothing.


def send_without_end(connection, data):
    for _ in range(10_000):
        connection.receive(data)
        connection.out.clear()


def flood(connection, data):
    with pytest.raises(ConnectionFault) as caught:
        send_without_end(connection, data)
    assert caught.value.code is ErrorCodes.ENHANCE_YOUR_CALM


def late_headers(stream):
    return frames.headers_frames(stream.id, HeaderEncoder(Limits()).encode(OK), True, 16_384)


def test_headers_on_a_closed_stream_are_counted_at_both_ends():
    joined = Joined()
    ours, theirs = joined.call()
    joined.server.refuse(theirs, RESPONSE)
    joined.exchange()
    joined.client.finish(ours)
    joined.exchange()
    flood(joined.server, late_headers(ours))
    flood(joined.client, late_headers(ours))


def test_goaways_without_end_are_counted_at_both_ends():
    joined = Joined()
    joined.call()
    flood(joined.server, frames.goaway_frame(0, 0))
    flood(joined.client, frames.goaway_frame(1, 0))


def test_informational_responses_without_end_are_counted():
    joined = Joined()
    ours, _ = joined.call()
    block = HeaderEncoder(Limits()).encode(((b":status", b"100"),))
    flood(joined.client, frames.headers_frames(ours.id, block, False, 16_384))


def test_empty_data_on_a_closed_stream_is_counted():
    joined = Joined()
    ours, theirs = joined.call()
    joined.server.refuse(theirs, RESPONSE)
    flood(joined.server, frames.frame(frames.DATA, 0, ours.id))


LARGE = "y" * 17 * 1024


async def test_metadata_that_is_too_large():
    async with watched({UNARY: echo}) as channel:
        for _ in range(3):
            with pytest.raises(RpcError, match="exceeds the limit of 16384") as caught:
                await channel.unary(UNARY, b"x", timeout=None, metadata={"large": LARGE})
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
            assert await channel.unary(UNARY, b"x", timeout=None, metadata={"small": "y"}) == b"x"


async def test_an_answer_whose_metadata_is_too_large():
    async def generous(request, call):
        call.trailing_metadata["large"] = LARGE
        return request

    async with watched({UNARY: generous}) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=None)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED


async def test_metadata_that_is_too_large_leaves_the_header_tables_alike():
    """The block that is refused adds an entry to the table, which later blocks name by its index."""
    async with wired() as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1, UNARY.path, ("large", "y" * 1000), *[("b", "z" * 1000)] * 20))
        assert (await peer.fields(1))["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
        await peer.send(
            peer.request(3, UNARY.path, ("large", "y" * 1000), ("b", "z" * 1000)),
            DataFrame(3, message(b"x"), flags=["END_STREAM"]),
        )
        assert (await peer.fields(3))[":status"] == "200"
        assert (await peer.fields(3))["grpc-status"] == "0"
