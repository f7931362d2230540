"""Tasks that wait for a stream: for messages, for room to send, and to be told of its end."""

import pytest
import trio
import trio.testing

from gossipnode.rpc import Limits, RpcError, Status
from gossipnode.rpc.http2 import waiting
from gossipnode.rpc.http2.stream import NOBODY
from gossipnode.rpc.message_framing import frame_message
from tests.rpc.http2.joined import REQUEST, Joined
from tests.rpc.methods import FLOW, UNARY
from tests.rpc.wired import drain, wired


async def test_one_task_reads_while_another_is_blocked_in_send():
    """Neither side may stop the other: a slow server must not keep its replies from a client that sends."""
    released = trio.Event()

    async def handler(stream):
        for number in range(10):
            await stream.send(b"%d" % number)
        await released.wait()
        while await stream.recv_batch(100):
            pass

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with wired({FLOW: handler}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=60) as stream:
            sent = 0

            async def send():
                nonlocal sent
                for _ in range(100):
                    await stream.send(b"x" * 10_000)
                    sent += 1
                await stream.half_close()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                assert [await stream.recv() for _ in range(10)] == [b"%d" % n for n in range(10)]
                await trio.testing.wait_all_tasks_blocked()
                assert 6 <= sent <= 7  # what the window takes, and no more
                released.set()
            assert sent == 100
            assert await stream.recv() is None


async def test_a_client_that_does_not_read_stops_the_server():
    sent = 0

    async def handler(stream):
        nonlocal sent
        for _ in range(100):
            await stream.send(b"x" * 10_000)
            sent += 1

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with wired({FLOW: handler}) as wire, wire.channel(limits) as channel:
        async with channel.stream(FLOW, timeout=60) as stream:
            await trio.testing.wait_all_tasks_blocked()
            assert 6 <= sent <= 7
            assert len(await drain(stream)) == 100


async def test_messages_longer_than_every_window():
    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535, write_buffer_bytes=20_000)
    async with wired(limits=limits) as wire, wire.channel(limits) as channel:
        message = bytes(range(256)) * 4000
        assert await channel.unary(UNARY, message, timeout=5) == message


async def test_two_senders_of_one_stream_are_refused():
    async def deaf(stream):
        await trio.sleep_forever()

    limits = Limits(stream_window_bytes=65_535)
    async with wired({FLOW: deaf}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send, bytes(100_000))
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.send(b"x")
                nursery.cancel_scope.cancel()


async def test_two_readers_of_one_stream_are_refused():
    async with wired() as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=5) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.recv)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.recv()
                nursery.cancel_scope.cancel()


async def test_a_message_cut_off_ends_its_call(autojump_clock):
    """Nothing may be sent after half a message: the server would take it for the other half."""
    released, got = trio.Event(), []

    async def handler(stream):
        await released.wait()
        got.append(await stream.recv())

    limits = Limits(stream_window_bytes=65_535)
    async with wired({FLOW: handler}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=50) as stream:
            with trio.move_on_after(1):
                await stream.send(bytes(100_000))
            released.set()
            with pytest.raises(RpcError, match="cut off") as caught:
                await stream.send(bytes(100_000))
            assert caught.value.status is Status.CANCELLED
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        assert wire.server.call_count == 0


async def test_an_opener_that_gives_up_leaves_the_queue():
    joined = Joined(server_limits=Limits(max_streams_per_connection=1))
    first, _ = joined.call()
    opened = []

    async def open_one():
        opened.append(await waiting.open_stream(joined.client, REQUEST, []))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await waiting.open_stream(joined.client, REQUEST, [])
        assert not joined.client.openers
        nursery.start_soon(open_one)
        await trio.testing.wait_all_tasks_blocked()
        assert len(joined.client.openers) == 1
        assert opened == []
        joined.client.finish(first)
    assert len(opened) == 1


async def test_a_task_is_attached_only_while_it_sleeps():
    joined = Joined()
    ours, _ = joined.call()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.receive, joined.client, ours, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert ours.reader is not NOBODY
        nursery.cancel_scope.cancel()
    assert ours.reader is NOBODY


async def test_sending_yields_once_for_each_batch_that_the_writer_takes():
    """Other tasks run, but not after every small message."""
    joined = Joined(Limits(first_window_bytes=1 << 20), Limits(gather_bytes=1000))
    _, theirs = joined.call()
    turns = 0

    async def writer():
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1
            joined.server.out.clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        for _ in range(1000):
            await waiting.yield_if_due(joined.server)
            await waiting.send(joined.server, theirs, bytes(91))
        nursery.cancel_scope.cancel()
    assert 90 <= turns <= 300


async def test_sending_meets_a_cancellation_without_yielding():
    joined = Joined()
    with trio.CancelScope() as scope:
        scope.cancel()
        await waiting.yield_if_due(joined.server)
    assert scope.cancelled_caught


async def test_a_cancellation_loses_no_message_that_has_come():
    joined = Joined()
    ours, theirs = joined.call()
    await waiting.send(joined.client, ours, frame_message(b"here"))
    joined.exchange()
    with trio.CancelScope() as scope:
        scope.cancel()
        await waiting.receive_in_turn(joined.server, theirs, 1)
    assert scope.cancelled_caught
    assert await waiting.receive_in_turn(joined.server, theirs, 1) == [b"here"]


async def test_a_task_that_always_finds_messages_lets_others_run():
    joined = Joined()
    ours, theirs = joined.call()
    for _ in range(20):
        await waiting.send(joined.client, ours, frame_message(b"x"))
    joined.exchange()
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(20):
            await waiting.receive_in_turn(joined.server, theirs, 1)
        nursery.cancel_scope.cancel()
    assert turns >= 19
