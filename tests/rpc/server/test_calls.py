"""Calls end to end, over memory streams and virtual time: results, statuses, metadata, deadlines, cancels."""

import logging

import pytest
import trio
import trio.testing

from gossipnode.rpc import Cardinality, Limits, RpcError, Status


async def test_unary_reply(kit):
    async with kit.wired() as wire, wire.channel() as channel:
        assert await channel.unary(kit.UNARY, b"hello", timeout=5) == b"hello"
        assert await channel.unary(kit.UNARY, b"", timeout=None) == b""
        assert wire.dials == 1


async def test_many_calls_share_one_connection(kit):
    async with kit.wired() as wire, wire.channel() as channel:
        replies = {}

        async def call(number):
            replies[number] = await channel.unary(kit.UNARY, b"%d" % number, timeout=5)

        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(call, number)
        assert replies == {number: b"%d" % number for number in range(300)}
        assert wire.dials == 1
        assert wire.server.call_count == 0


@pytest.mark.parametrize("in_nursery", [False, True])
async def test_status_of_a_handler(kit, in_nursery):
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

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
    assert caught.value.status is Status.NOT_FOUND
    assert caught.value.message == "no entity “x”, 100 %\n"
    assert caught.value.trailing_metadata == {"hint-bin": b"\0\xff", "hint": "elsewhere"}


async def test_unexpected_exception_tells_the_peer_nothing(kit, caplog):
    async def handler(request, call):
        raise KeyError("secret")

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        with caplog.at_level(logging.ERROR, "gossipnode.rpc"), pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
    assert caught.value.status is Status.INTERNAL
    assert "secret" not in caught.value.message
    assert "secret" in caplog.text


async def test_request_that_cannot_be_decoded(kit):
    async with kit.wired() as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="not a message") as caught:
            await channel.unary(kit.UNARY, b"bad", timeout=5)
        assert caught.value.status is Status.INVALID_ARGUMENT
        async with channel.stream(kit.FLOW, timeout=5) as stream:
            await stream.send(b"bad")
            with pytest.raises(RpcError) as caught:
                await stream.recv()
            assert caught.value.status is Status.INVALID_ARGUMENT


async def test_reply_that_cannot_be_decoded(kit):
    async def handler(request, call):
        return b"bad"

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="cannot be decoded: not a message") as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
        assert caught.value.status is Status.INTERNAL


async def test_unknown_method(kit):
    async with kit.wired({}) as wire, wire.channel() as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNIMPLEMENTED


async def test_metadata_both_ways(kit):
    seen = []

    async def handler(request, call):
        seen.append((dict(call.metadata), call.path, call.peer, call.peer_certificate_names))
        call.initial_metadata["first"] = "1"
        call.trailing_metadata["last-bin"] = b"\1\2"
        return request

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        for value in ("a", "a", "b" * 300):  # the repeated block comes from the memory of both ends
            metadata = {"key": value, "key-bin": value.encode()}
            result = await channel.unary_call(kit.UNARY, b"x", timeout=5, metadata=metadata)
            assert result.initial_metadata == {"first": "1"}
            assert result.trailing_metadata == {"last-bin": b"\1\2"}
            assert seen.pop() == (metadata, kit.UNARY.path, "memory", ())
        for bad in ({"grpc-x": "1"}, {"Upper": "1"}, {"key": "\n"}):
            with pytest.raises(ValueError):  # noqa: PT011
                await channel.unary(kit.UNARY, b"x", timeout=5, metadata=bad)


async def test_deadline_at_the_client(kit, autojump_clock):
    cancelled = []

    async def handler(request, call):
        cancelled.append(call.deadline)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(trio.current_time())

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        began = trio.current_time()
        with pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=3000)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        assert trio.current_time() - began == 3000
        await trio.testing.wait_all_tasks_blocked()
        assert cancelled == [began + 3000, began + 3000]
        assert wire.server.call_count == 0


async def test_deadline_at_the_server(kit, autojump_clock):
    async def handler(stream):
        await trio.sleep_forever()

    async with kit.wired({kit.FLOW: handler}) as wire:
        peer = await wire.raw()
        await peer.start()
        await peer.send(peer.request(1, kit.FLOW.path, ("grpc-timeout", "5S")))
        assert (await peer.fields(1))["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)
        assert trio.current_time() == 5


async def test_twenty_cancels_leave_nothing(kit, autojump_clock):
    entered = exited = 0

    async def handler(stream):
        nonlocal entered, exited
        entered += 1
        try:
            await stream.recv()
            await trio.sleep_forever()
        finally:
            exited += 1

    async with kit.wired({kit.FLOW: handler, kit.UNARY: kit.echo}) as wire, wire.channel() as channel:
        await channel.unary(kit.UNARY, b"x", timeout=5)
        await trio.sleep(15)  # both handshake watches are over
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(20):
            with trio.move_on_after(1) as scope:
                async with channel.stream(kit.FLOW, timeout=60) as stream:
                    await stream.send(b"x" * 1000)
                    await stream.recv()
            assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert (entered, exited) == (20, 20)
        assert wire.server.call_count == 0
        assert not channel._dialer.usable.streams
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        assert wire.dials == 1


async def test_handler_is_cancelled_when_the_connection_is_lost(kit):
    started, cancelled = trio.Event(), trio.Event()

    async def handler(request, call):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:

        async def cut():
            await started.wait()
            await wire.cut()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            with pytest.raises(RpcError) as caught:
                await channel.unary(kit.UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAVAILABLE
        await cancelled.wait()


async def test_authorize_runs_before_any_handler(kit):
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
    async with kit.wired({kit.UNARY: handler}, **options) as wire, wire.channel() as channel:
        with pytest.raises(RpcError, match="who are you") as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAUTHENTICATED
        with pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5, metadata={"token": "broken"})
        assert caught.value.status is Status.INTERNAL
        assert handled == []
        await channel.unary(kit.UNARY, b"x", timeout=5, metadata={"token": "good"})
        assert handled == [b"x"]
    expected = [Status.UNAUTHENTICATED, Status.INTERNAL, Status.OK]
    assert ended == [(kit.UNARY.path, status) for status in expected]


@pytest.mark.parametrize("cardinality", list(Cardinality)[1:])
async def test_every_shape_of_stream(kit, cardinality):
    shape = kit.method("Shape", cardinality)

    async def handler(stream):
        requests = []
        while (request := await stream.recv()) is not None:
            requests.append(request)
        await stream.send(b"+".join(requests))
        if cardinality.server_streaming:
            await stream.send_batch([b"more", b"and more"])

    async with kit.wired({shape: handler}) as wire, wire.channel() as channel:
        async with channel.stream(shape, timeout=5) as stream:
            requests = [b"1", b"2", b"3"] if cardinality.client_streaming else [b"1"]
            for request in requests:
                await stream.send(request)
            await stream.half_close()
            replies = iter_list(await drain(stream))
    expected = [b"+".join(requests)] + ([b"more", b"and more"] if cardinality.server_streaming else [])
    assert replies == expected
    assert stream.bytes_sent == sum(len(request) + 5 for request in requests)
    assert stream.bytes_received == sum(len(reply) + 5 for reply in expected)


def iter_list(batches):
    return [message for batch in batches for message in batch]


async def drain(stream):
    batches = []
    while batch := await stream.recv_batch(2):
        assert len(batch) <= 2
        batches.append(batch)
    return batches


async def test_handler_that_returns_while_the_peer_still_sends(kit):
    async def handler(stream):
        await stream.recv()
        stream.call.trailing_metadata["seen"] = "1"

    async with kit.wired({kit.FLOW: handler, kit.UNARY: kit.echo}) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=5) as stream:

            async def send_for_ever():
                while True:
                    await stream.send(b"x" * 50_000)

            with pytest.raises(RpcError) as caught:
                await send_for_ever()
            assert caught.value.status is Status.CANCELLED
            assert await stream.recv() is None
            await stream.finish()
            assert stream.trailing_metadata == {"seen": "1"}
        assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"
        assert wire.dials == 1


async def test_status_after_messages(kit):
    async def handler(stream):
        await stream.send_batch([b"1", b"2"])
        raise RpcError(Status.ABORTED, "enough")

    async with kit.wired({kit.FLOW: handler}) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=5) as stream:
            assert await stream.recv() == b"1"
            assert await stream.recv() == b"2"
            for _ in range(2):
                with pytest.raises(RpcError, match="enough") as caught:
                    await stream.recv()
                assert caught.value.status is Status.ABORTED
            with pytest.raises(RpcError, match="enough"):
                await stream.finish()


async def test_one_task_reads_while_another_is_blocked_in_send(kit):
    """Neither side may stop the other: a slow server must not keep its replies from a client that sends."""
    released = trio.Event()

    async def handler(stream):
        for number in range(10):
            await stream.send(b"%d" % number)
        await released.wait()
        while await stream.recv_batch(100):
            pass

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with kit.wired({kit.FLOW: handler}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=60) as stream:
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


async def test_a_client_that_does_not_read_stops_the_server(kit):
    sent = 0

    async def handler(stream):
        nonlocal sent
        for _ in range(100):
            await stream.send(b"x" * 10_000)
            sent += 1

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with kit.wired({kit.FLOW: handler}) as wire, wire.channel(limits) as channel:
        async with channel.stream(kit.FLOW, timeout=60) as stream:
            await trio.testing.wait_all_tasks_blocked()
            assert 6 <= sent <= 7
            assert len(iter_list(await drain(stream))) == 100


async def test_what_was_never_read_is_credited_at_the_end(kit):
    """Each call leaves 40 kB unread: together far more than the connection's window."""

    async def uninterested(stream):
        await stream.recv()

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with kit.wired({kit.FLOW: uninterested}, limits=limits) as wire, wire.channel() as channel:
        with trio.fail_after(5):
            for _ in range(50):
                async with channel.stream(kit.FLOW, timeout=5) as stream:
                    await stream.send_batch([bytes(10_000)] * 5)
                    assert await stream.recv() is None
        assert wire.dials == 1


async def test_messages_longer_than_every_window(kit):
    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535, write_buffer_bytes=20_000)
    async with kit.wired(limits=limits) as wire, wire.channel(limits) as channel:
        message = bytes(range(256)) * 4000
        assert await channel.unary(kit.UNARY, message, timeout=5) == message


async def test_largest_message(kit):
    limits = Limits(max_message_bytes=10_000)
    async with kit.wired(limits=limits) as wire, wire.channel() as channel:
        assert len(await channel.unary(kit.UNARY, b"x" * 10_000, timeout=5)) == 10_000
        with pytest.raises(RpcError, match="10001 bytes exceeds") as caught:
            await channel.unary(kit.UNARY, b"x" * 10_001, timeout=5)
        assert caught.value.status is Status.RESOURCE_EXHAUSTED
        async with wire.channel(Limits(max_message_bytes=100)) as narrow:
            with pytest.raises(RpcError, match="101 bytes exceeds") as caught:
                await narrow.unary(kit.UNARY, b"x" * 101, timeout=5)
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
        assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"


async def test_two_senders_of_one_stream_are_refused(kit):
    async def deaf(stream):
        await trio.sleep_forever()

    limits = Limits(stream_window_bytes=65_535)
    async with kit.wired({kit.FLOW: deaf}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=5) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send, bytes(100_000))
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.send(b"x")
                nursery.cancel_scope.cancel()


async def test_a_message_cut_off_ends_its_call(kit, autojump_clock):
    """Nothing may be sent after half a message: the server would take it for the other half."""
    released, got = trio.Event(), []

    async def handler(stream):
        await released.wait()
        got.append(await stream.recv())

    limits = Limits(stream_window_bytes=65_535)
    async with kit.wired({kit.FLOW: handler}, limits=limits) as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=50) as stream:
            with trio.move_on_after(1):
                await stream.send(bytes(100_000))
            released.set()
            with pytest.raises(RpcError, match="cut off") as caught:
                await stream.send(bytes(100_000))
            assert caught.value.status is Status.CANCELLED
        await trio.testing.wait_all_tasks_blocked()
        assert got == []
        assert wire.server.call_count == 0


async def test_both_sides_say_goodbye(kit):
    """GOAWAY when a channel closes and when a server is cancelled, so that nobody takes it for a loss."""
    async with kit.wired() as wire:
        ours, theirs = trio.testing.memory_stream_pair()

        async def connect():
            await trio.lowlevel.checkpoint()
            return ours

        async with trio.open_nursery() as nursery:
            async with kit.wired() as other:
                other.connect = connect
                async with other.channel() as channel:
                    nursery.start_soon(status_of_call, channel, kit.UNARY)
                    await trio.testing.wait_all_tasks_blocked()
        peer = kit.RawPeer(theirs)
        assert await theirs.receive_some(len(kit.PREFACE)) == kit.PREFACE
        assert await peer.goaway() == 0

        peer = await wire.raw()
        await peer.start()
        await trio.testing.wait_all_tasks_blocked()
        wire.nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        assert await peer.goaway() == 0


async def status_of_call(channel, method):
    with pytest.raises(RpcError) as caught:
        await channel.unary(method, b"x", timeout=5)
    assert caught.value.status is Status.UNAVAILABLE


async def test_two_readers_of_one_stream_are_refused(kit):
    async with kit.wired() as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=5) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.recv)
                await trio.testing.wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError):
                    await stream.recv()
                nursery.cancel_scope.cancel()


async def test_observer_that_fails_costs_nothing(kit, caplog):
    def observe(path, status, seconds):
        raise KeyError("observer")

    async with kit.wired(observe=observe) as wire, wire.channel() as channel:
        for _ in range(2):
            assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"
            await trio.testing.wait_all_tasks_blocked()
        assert wire.dials == 1
    assert "observer" in caplog.text


async def test_an_error_leaves_the_channel_as_it_is(kit):
    async with kit.wired({}) as wire:
        caught = None
        try:
            async with wire.channel() as channel:
                await channel.unary(kit.UNARY, b"x", timeout=5)
        except RpcError as error:  # not a group of one
            caught = error
        assert caught is not None
        assert caught.status is Status.UNIMPLEMENTED
