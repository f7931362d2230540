"""Calls of a client: replies, deadlines, cancellation, and a channel that closes."""

import pytest
import trio
import trio.testing

from gossipnode.rpc import Limits, RpcError, Status
from tests.rpc.methods import FLOW, UNARY, echo, echo_flow
from tests.rpc.wired import status_of, wired


async def test_unary_reply():
    async with wired() as wire, wire.channel() as channel:
        assert await channel.unary(UNARY, b"hello", timeout=5) == b"hello"
        assert await channel.unary(UNARY, b"", timeout=None) == b""
        assert wire.dials == 1


async def test_many_calls_share_one_connection():
    async with wired() as wire, wire.channel() as channel:
        replies = {}

        async def call(number):
            replies[number] = await channel.unary(UNARY, b"%d" % number, timeout=5)

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(call, number)
        assert replies == {number: b"%d" % number for number in range(300)}
        assert wire.dials == 1
        assert wire.server.call_count == 0


async def test_reply_that_cannot_be_decoded():
    async def handler(request, call):
        return b"bad"

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="cannot be decoded: not a message") as caught:
            await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.INTERNAL


async def test_deadline_at_the_client(autojump_clock):
    cancelled = []

    async def handler(request, call):
        cancelled.append(call.deadline)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(trio.current_time())

    async with wired({UNARY: handler}) as wire, wire.channel() as channel:
        began = trio.current_time()
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=3000)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() - began == 3000
        await trio.testing.wait_all_tasks_blocked()
        assert cancelled == [began + 3000, began + 3000]
        assert wire.server.call_count == 0


async def test_twenty_cancels_leave_nothing(autojump_clock):
    entered = exited = 0

    async def handler(stream):
        nonlocal entered, exited
        entered += 1
        try:
            await stream.recv()
            await trio.sleep_forever()
        finally:
            exited += 1

    async with wired({FLOW: handler, UNARY: echo}) as wire, wire.channel() as channel:
        await channel.unary(UNARY, b"x", timeout=5)
        await trio.sleep(15)  # both handshake watches are over
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(20):
            with trio.move_on_after(1) as scope:
                async with channel.stream(FLOW, timeout=60) as stream:
                    await stream.send(b"x" * 1000)
                    await stream.recv()
            assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert (entered, exited) == (20, 20)
        assert wire.server.call_count == 0
        assert not channel._dialer.usable.streams
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert wire.dials == 1


async def test_largest_message():
    limits = Limits(max_message_bytes=10_000)
    async with wired(limits=limits) as wire, wire.channel() as channel:
        assert len(await channel.unary(UNARY, b"x" * 10_000, timeout=5)) == 10_000
        with pytest.raises(RpcError, match="10001 bytes exceeds") as caught:
            await channel.unary(UNARY, b"x" * 10_001, timeout=5)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        async with wire.channel(Limits(max_message_bytes=100)) as narrow:
            with pytest.raises(RpcError, match="101 bytes exceeds") as caught:
                await narrow.unary(UNARY, b"x" * 101, timeout=5)
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert await channel.unary(UNARY, b"x", timeout=5) == b"x"


async def test_a_stream_may_take_larger_messages_than_others():
    """The windows are smaller than the message, and let all of it in."""

    async def wide(stream) -> None:
        stream.take_messages_up_to(200_000)
        await echo_flow(stream)

    limits = Limits(max_message_bytes=10_000, stream_window_bytes=65_535)
    async with wired({FLOW: wide}, limits=limits) as wire, wire.channel(limits) as channel:
        async with channel.stream(FLOW, timeout=5) as stream:
            stream.take_messages_up_to(200_000)
            await stream.send(b"x" * 200_000)
            assert await stream.recv() == b"x" * 200_000
        async with channel.stream(FLOW, timeout=5) as stream:
            await stream.send(b"x" * 200_000)
            with pytest.raises(RpcError, match="200000 bytes exceeds the limit of 10000"):
                await stream.recv()
        async with channel.stream(FLOW, timeout=5) as stream:
            stream.take_messages_up_to(200_000)
            with pytest.raises(RpcError, match="200001 bytes exceeds the limit of 200000"):
                await stream.send(b"x" * 200_001)


async def test_an_error_leaves_the_channel_as_it_is():
    async with wired({}) as wire:
        caught = None
        try:
            async with wire.channel() as channel:
                await channel.unary(UNARY, b"x", timeout=5)
        except RpcError as error:  # not a group of one
            caught = error
        assert caught is not None
        assert caught.status is Status.UNIMPLEMENTED


async def test_closed_channel_fails_its_calls():
    async with wired() as wire:
        async with wire.channel() as channel:
            pass
        assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.CANCELLED
