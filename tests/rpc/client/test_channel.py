"""The client's connection: dialling, backoff, readiness, retries, and a server that goes away."""

import random
from functools import partial
from itertools import pairwise

import pytest
import trio
import trio.testing
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

from gossipnode.rpc import Limits, RetryPolicy, RpcError, Status
from gossipnode.rpc.client.retry import backoff_seconds


async def status_of(call) -> Status:
    with pytest.raises(RpcError) as caught:
        await call
    return caught.value.status


async def test_refused_connection_fails_at_once_and_by_name(kit, autojump_clock):
    async with kit.wired() as wire, wire.channel() as channel:
        wire.refuse = True
        with pytest.raises(RpcError, match="node-b cannot be reached: connection refused") as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAVAILABLE
        assert trio.current_time() == 0


@pytest.mark.slow
async def test_backoff_is_capped_and_jittered(kit, autojump_clock):
    limits = Limits(backoff_min_seconds=1, backoff_max_seconds=8)
    async with kit.wired() as wire, wire.channel(limits, rng=random.Random(1)) as channel:
        wire.refuse = True
        dialled_at = []
        while trio.current_time() < 60:
            dials = wire.dials
            assert await status_of(channel.unary(kit.UNARY, b"x", timeout=5)) is Status.UNAVAILABLE
            if wire.dials != dials:
                dialled_at.append(trio.current_time())
            await trio.sleep(0.05)
        pauses = [after - before for before, after in pairwise(dialled_at)]
        for pause, base in zip(pauses, [1, 2, 4, 8, 8, 8], strict=False):
            assert 0.8 * base <= pause <= 1.2 * base + 0.1
        assert len(set(pauses[3:])) > 1
        wire.refuse = False
        await trio.sleep(10)
        assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"


async def test_dial_now_ignores_the_backoff(kit, autojump_clock):
    async with kit.wired() as wire, wire.channel(Limits(backoff_min_seconds=1000)) as channel:
        wire.refuse = True
        await status_of(channel.unary(kit.UNARY, b"x", timeout=5))
        wire.refuse = False
        assert await status_of(channel.unary(kit.UNARY, b"x", timeout=5)) is Status.UNAVAILABLE
        assert wire.dials == 1
        async with channel.stream(kit.FLOW, timeout=5, dial_now=True) as stream:
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 2
        assert trio.current_time() == 0


async def test_wait_for_ready(kit, autojump_clock):
    async with kit.wired() as wire, wire.channel(Limits(backoff_max_seconds=2)) as channel:
        wire.refuse = True
        call = channel.unary(kit.UNARY, b"x", timeout=50, wait_for_ready=True)
        assert await status_of(call) is Status.DEADLINE_EXCEEDED
        assert trio.current_time() == pytest.approx(50)

        async def come_back():
            await trio.sleep(20)
            wire.refuse = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_back)
            assert await channel.unary(kit.UNARY, b"x", timeout=50, wait_for_ready=True) == b"x"
        assert 70 <= trio.current_time() <= 73


async def test_connect_that_hangs(kit, autojump_clock):
    async def connect():
        await trio.sleep_forever()

    async with kit.wired() as wire:
        wire.connect = connect
        async with wire.channel(Limits(connect_seconds=7)) as channel:
            assert await status_of(channel.unary(kit.UNARY, b"x", timeout=50)) is Status.UNAVAILABLE
            assert trio.current_time() == 7


async def test_the_one_who_dials_may_give_up(kit, autojump_clock):
    async with kit.wired() as wire:
        connect = wire.connect

        async def slow_connect():
            await trio.sleep(3)
            return await connect()

        wire.connect = slow_connect
        async with wire.channel() as channel:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(status_of, channel.unary(kit.UNARY, b"1", timeout=1))
                await trio.sleep(0.5)
                assert await channel.unary(kit.UNARY, b"2", timeout=5) == b"2"
            assert wire.dials == 1
            assert trio.current_time() == 3


async def test_reconnects_after_a_lost_connection(kit):
    async with kit.wired() as wire, wire.channel() as channel:
        assert await channel.unary(kit.UNARY, b"1", timeout=5) == b"1"
        await wire.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.unary(kit.UNARY, b"2", timeout=5) == b"2"
        assert wire.dials == 2


async def test_retry_by_status(kit, autojump_clock):
    calls = []

    async def handler(request, call):
        calls.append(trio.current_time())
        if len(calls) < 3:
            raise RpcError(Status.UNAVAILABLE if request == b"retry" else Status.ABORTED, "not yet")
        return request

    policy = RetryPolicy(attempts=3, min_seconds=1, max_seconds=10)
    async with kit.wired({kit.UNARY: handler}) as wire, wire.channel() as channel:
        assert await channel.unary(kit.UNARY, b"retry", timeout=50, retry=policy) == b"retry"
        assert 0.8 <= calls[1] - calls[0] <= 1.2
        assert 1.6 <= calls[2] - calls[1] <= 2.4
        calls.clear()
        assert await status_of(channel.unary(kit.UNARY, b"x", timeout=50, retry=policy)) is Status.ABORTED
        assert len(calls) == 1
        calls.clear()
        few = RetryPolicy(attempts=2)
        call = channel.unary(kit.UNARY, b"retry", timeout=50, retry=few)
        assert await status_of(call) is Status.UNAVAILABLE
        assert len(calls) == 2
        calls.clear()
        call = channel.unary(kit.UNARY, b"retry", timeout=0.5, retry=policy)
        assert await status_of(call) is Status.DEADLINE_EXCEEDED


async def test_drained_server(kit, autojump_clock):
    """Running streams finish, new calls go to a new connection, and the old one ends."""
    async with kit.wired() as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=50) as stream:
            await stream.send(b"1")
            assert await stream.recv() == b"1"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.server.drain, 20)
                await trio.testing.wait_all_tasks_blocked()
                await stream.send(b"2")
                assert await stream.recv() == b"2"
                call = channel.unary(kit.UNARY, b"x", timeout=5)
                assert await status_of(call) is Status.UNAVAILABLE  # it accepts no connections
                await stream.finish()
        assert wire.dials == 2
        assert trio.current_time() < 1
        assert wire.server.connection_count == 0


async def test_drain_ends_calls_after_its_grace(kit, autojump_clock):
    async with kit.wired() as wire, wire.channel() as channel:
        async with channel.stream(kit.FLOW, timeout=50) as stream:
            await stream.send(b"1")
            await stream.recv()
            await wire.server.drain(20)
            assert trio.current_time() == pytest.approx(20, abs=1)
            assert await status_of(stream.recv()) is Status.UNAVAILABLE
        assert wire.server.connection_count == 0
        assert wire.server.call_count == 0


class ScriptedServer:
    """The server end of a memory stream, with frames made by hand."""

    def __init__(self, kit, stream):
        self.peer = kit.RawPeer(stream)

    async def start(self):
        assert await self.peer.stream.receive_some(len(kit_preface)) == kit_preface
        await self.peer.send(SettingsFrame(0))

    async def answer(self, stream_id, message=b"\0\0\0\0\1x"):
        await self.peer.send(
            self.peer.headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")]),
            b"\0\0%c\0\0" % len(message) + stream_id.to_bytes(4, "big") + message,
            self.peer.headers(stream_id, [("grpc-status", "0")], end=True),
        )


kit_preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def test_goaway_moves_unprocessed_calls_to_a_new_connection(kit):
    """Stream 1 is finished by the old server, stream 3 was never seen by it and runs on the next."""
    servers = []

    async def connect():
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        servers.append(ScriptedServer(kit, theirs))
        nursery.start_soon(play, len(servers))
        return ours

    async def play(number):
        server = servers[-1]
        await server.start()
        heads = 0
        while heads < (2 if number == 1 else 1):
            heads += isinstance(await server.peer.frame(), HeadersFrame)
        if number == 1:
            await server.peer.send(GoAwayFrame(0, last_stream_id=1))
            await trio.testing.wait_all_tasks_blocked()
        await server.answer(1)

    async with kit.wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        async with wire.channel() as channel:
            async with trio.open_nursery() as calls:
                for _ in range(2):
                    calls.start_soon(partial(channel.unary, kit.UNARY, b"x", timeout=5))
        assert len(servers) == 2  # and both calls returned: the nursery would have raised otherwise


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([(":status", "503")], Status.UNAVAILABLE),
        ([(":status", "404")], Status.UNIMPLEMENTED),
        ([(":status", "200"), ("content-type", "text/html")], Status.UNKNOWN),
        ([(":status", "200"), ("content-type", "application/grpc")], Status.UNKNOWN),
        ([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "99")], Status.UNKNOWN),
    ],
)
async def test_answers_that_are_not_grpc(kit, head, status):
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async def play():
        server = ScriptedServer(kit, theirs)
        await server.start()
        await server.peer.until(lambda frame: isinstance(frame, HeadersFrame))
        await server.peer.send(server.peer.headers(1, head, end=True))

    async with kit.wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        nursery.start_soon(play)
        async with wire.channel() as channel:
            assert await status_of(channel.unary(kit.UNARY, b"x", timeout=5)) is status


async def test_keepalive_ends_calls_at_a_silent_peer(kit, autojump_clock):
    limits = Limits(keepalive_seconds=10, keepalive_timeout_seconds=5)
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async with kit.wired() as wire:
        wire.connect = connect
        async with wire.channel(limits) as channel:
            await theirs.send_all(SettingsFrame(0).serialize())
            with pytest.raises(RpcError, match="keepalive") as caught:
                await channel.unary(kit.UNARY, b"x", timeout=500)
            assert caught.value.status is Status.UNAVAILABLE
            assert 15 <= trio.current_time() <= 26


async def test_keepalive_leaves_a_living_peer_alone(kit, autojump_clock):
    limits = Limits(keepalive_seconds=10, keepalive_timeout_seconds=5)
    async with kit.wired(limits=limits) as wire, wire.channel(limits) as channel:
        async with channel.stream(kit.FLOW, timeout=10_000) as stream:
            await trio.sleep(1_000)
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 1


async def test_keepalive_does_not_pester_a_peer_that_answers_but_has_nothing_to_say(kit, autojump_clock):
    """Stock servers close a connection at the third ping that comes within five minutes of the one before."""
    ours, theirs = trio.testing.memory_stream_pair()
    pings = []

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async def play():
        server = ScriptedServer(kit, theirs)
        await server.start()
        while True:
            frame = await server.peer.frame()
            if isinstance(frame, PingFrame):
                pings.append(trio.current_time())
                await server.peer.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))

    async with kit.wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        nursery.start_soon(play)
        async with wire.channel() as channel:
            assert await status_of(channel.unary(kit.UNARY, b"x", timeout=3600)) is Status.DEADLINE_EXCEEDED
        nursery.cancel_scope.cancel()
    fast = [later - earlier < 300 for earlier, later in pairwise(pings)]
    assert len(pings) > 5
    assert sum(fast) <= 2


async def test_calls_wait_for_the_servers_stream_limit(kit, autojump_clock):
    running = most = 0

    async def handler(request, call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return request

    limits = Limits(max_streams_per_connection=3)
    async with kit.wired({kit.UNARY: handler}, limits=limits) as wire, wire.channel() as channel:
        await channel.unary(kit.UNARY, b"x", timeout=5)  # so that the limit is known
        async with trio.open_nursery() as nursery:
            for _ in range(9):
                nursery.start_soon(partial(channel.unary, kit.UNARY, b"x", timeout=50))
        assert most == 3
        assert trio.current_time() == pytest.approx(4)


async def test_closed_channel_fails_its_calls(kit):
    async with kit.wired() as wire:
        async with wire.channel() as channel:
            pass
        assert await status_of(channel.unary(kit.UNARY, b"x", timeout=5)) is Status.CANCELLED


def test_backoff_grows_to_its_cap():
    rng = random.Random(7)
    for failures in range(1, 2000, 7):
        pause = backoff_seconds(failures, 0.1, 10, rng)
        base = min(0.1 * 2 ** min(failures - 1, 50), 10)
        assert 0.8 * base <= pause <= 1.2 * base
