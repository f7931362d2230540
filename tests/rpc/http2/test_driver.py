"""The life of a connection: keepalive, idle time, and a goodbye at both ends."""

from itertools import pairwise

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    PingFrame,
    SettingsFrame,
)

from gossipnode.rpc import Limits, RpcError, Status
from tests.rpc.methods import FLOW, PREFACE, UNARY
from tests.rpc.raw_peer import RawPeer, ScriptedServer
from tests.rpc.wired import status_of, wired


async def test_both_sides_say_goodbye():
    """GOAWAY when a channel closes and when a server is cancelled, so that nobody takes it for a loss."""
    async with wired() as wire:
        ours, theirs = trio.testing.memory_stream_pair()

        async def connect():
            await trio.lowlevel.checkpoint()
            return ours

        async with trio.open_nursery() as nursery:
            async with wired() as other:
                other.connect = connect
                async with other.channel() as channel:
                    nursery.start_soon(status_of_call, channel, UNARY)
                    await trio.testing.wait_all_tasks_blocked()
        peer = RawPeer(theirs)
        assert await theirs.receive_some(len(PREFACE)) == PREFACE
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


@pytest.mark.slow
async def test_idle_connections_are_closed(caplog, autojump_clock):
    limits = Limits(idle_seconds=100, handshake_seconds=10, max_connections=300)
    async with wired(limits=limits) as wire:
        silent = [await wire.raw() for _ in range(100)]
        idle = [await wire.raw() for _ in range(100)]
        for peer in idle:
            await peer.start()
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.connection_count == 200
        await trio.sleep(20)
        assert wire.server.connection_count == 100
        assert await silent[0].goaway() == ErrorCodes.SETTINGS_TIMEOUT
        await trio.sleep(100)
        assert wire.server.connection_count == 0
        assert await idle[0].goaway() == ErrorCodes.NO_ERROR


async def test_a_running_stream_keeps_its_connection(autojump_clock):
    async with wired(limits=Limits(idle_seconds=100)) as wire, wire.channel() as channel:
        async with channel.stream(FLOW, timeout=10_000) as stream:
            await trio.sleep(1000)
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 1
        await trio.sleep(201)
        assert wire.server.connection_count == 0


async def test_keepalive_ends_calls_at_a_silent_peer(autojump_clock):
    limits = Limits(keepalive_seconds=10, keepalive_timeout_seconds=5)
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async with wired() as wire:
        wire.connect = connect
        async with wire.channel(limits) as channel:
            await theirs.send_all(SettingsFrame(0).serialize())
            with pytest.raises(RpcError, match="keepalive") as caught:
                await channel.unary(UNARY, b"x", timeout=500)
            assert caught.value.status is Status.UNAVAILABLE
            assert 15 <= trio.current_time() <= 26


async def test_keepalive_leaves_a_living_peer_alone(autojump_clock):
    limits = Limits(keepalive_seconds=10, keepalive_timeout_seconds=5)
    async with wired(limits=limits) as wire, wire.channel(limits) as channel:
        async with channel.stream(FLOW, timeout=10_000) as stream:
            await trio.sleep(1_000)
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 1


async def test_keepalive_does_not_pester_a_peer_that_answers_but_has_nothing_to_say(autojump_clock):
    """Stock servers close a connection at the third ping that comes within five minutes of the one before."""
    ours, theirs = trio.testing.memory_stream_pair()
    pings = []

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async def play():
        server = ScriptedServer(theirs)
        await server.start()
        while True:
            frame = await server.peer.frame()
            if isinstance(frame, PingFrame):
                pings.append(trio.current_time())
                await server.peer.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))

    async with wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        nursery.start_soon(play)
        async with wire.channel() as channel:
            assert await status_of(channel.unary(UNARY, b"x", timeout=3600)) is Status.DEADLINE_EXCEEDED
        nursery.cancel_scope.cancel()
    fast = [later - earlier < 300 for earlier, later in pairwise(pings)]
    assert len(pings) > 5
    assert sum(fast) <= 2
