"""A channel's connection: dialling, backoff, readiness, and reconnecting."""

import logging
import random
from contextvars import ContextVar
from itertools import pairwise

import pytest
import trio
import trio.testing

from gossipnode.rpc import Channel, Limits, RpcError, Status
from tests.rpc.methods import FLOW, UNARY
from tests.rpc.wired import status_of, wired


async def test_refused_connection_fails_at_once_and_by_name(autojump_clock):
    async with wired() as wire, wire.channel() as channel:
        wire.refuse = True
        with pytest.raises(RpcError, match="node-b cannot be reached: connection refused") as caught:
            await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.status is Status.UNAVAILABLE
        assert trio.current_time() == 0


@pytest.mark.slow
async def test_backoff_is_capped_and_jittered(autojump_clock):
    limits = Limits(backoff_min_seconds=1, backoff_max_seconds=8)
    async with wired() as wire, wire.channel(limits, rng=random.Random(1)) as channel:
        wire.refuse = True
        dialled_at = []
        while trio.current_time() < 60:
            dials = wire.dials
            assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.UNAVAILABLE
            if wire.dials != dials:
                dialled_at.append(trio.current_time())
            await trio.sleep(0.05)
        pauses = [after - before for before, after in pairwise(dialled_at)]
        for pause, base in zip(pauses, [1, 2, 4, 8, 8, 8], strict=False):
            assert 0.8 * base <= pause <= 1.2 * base + 0.1
        assert len(set(pauses[3:])) > 1
        wire.refuse = False
        await trio.sleep(10)
        assert await channel.unary(UNARY, b"x", timeout=5) == b"x"


async def test_dial_now_ignores_the_backoff(autojump_clock):
    async with wired() as wire, wire.channel(Limits(backoff_min_seconds=1000)) as channel:
        wire.refuse = True
        await status_of(channel.unary(UNARY, b"x", timeout=5))
        wire.refuse = False
        assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.UNAVAILABLE
        assert wire.dials == 1
        async with channel.stream(FLOW, timeout=5, dial_now=True) as stream:
            await stream.send(b"1")
            assert await stream.recv() == b"1"
        assert wire.dials == 2
        assert trio.current_time() == 0


async def test_a_connection_that_was_dialled_within_the_backoff_may_be_lost(autojump_clock):
    """A call after that dials at once: the backoff was for a dial that failed before."""
    async with wired() as wire, wire.channel(Limits(backoff_min_seconds=1000)) as channel:
        wire.refuse = True
        await status_of(channel.unary(UNARY, b"x", timeout=5))
        wire.refuse = False
        assert await channel.unary(UNARY, b"x", timeout=5, dial_now=True) == b"x"
        await wire.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
        assert wire.dials == 3


async def test_wait_for_ready(autojump_clock):
    async with wired() as wire, wire.channel(Limits(backoff_max_seconds=2)) as channel:
        wire.refuse = True
        call = channel.unary(UNARY, b"x", timeout=50, wait_for_ready=True)
        assert await status_of(call) is Status.DEADLINE_EXCEEDED
        assert trio.current_time() == pytest.approx(50)

        async def come_back():
            await trio.sleep(20)
            wire.refuse = False

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_back)
            assert await channel.unary(UNARY, b"x", timeout=50, wait_for_ready=True) == b"x"
        assert 70 <= trio.current_time() <= 73


async def test_connect_that_hangs(autojump_clock):
    async def connect():
        await trio.sleep_forever()

    async with wired() as wire:
        wire.connect = connect
        async with wire.channel(Limits(connect_seconds=7)) as channel:
            assert await status_of(channel.unary(UNARY, b"x", timeout=50)) is Status.UNAVAILABLE
            assert trio.current_time() == 7


async def test_the_caller_that_dials_may_give_up(autojump_clock):
    async with wired() as wire:
        connect = wire.connect

        async def slow_connect():
            await trio.sleep(3)
            return await connect()

        wire.connect = slow_connect
        async with wire.channel() as channel:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(status_of, channel.unary(UNARY, b"1", timeout=1))
                await trio.sleep(0.5)
                assert await channel.unary(UNARY, b"2", timeout=5) == b"2"
            assert wire.dials == 1
            assert trio.current_time() == 3


async def test_reconnects_after_a_lost_connection():
    async with wired() as wire, wire.channel() as channel:
        assert await channel.unary(UNARY, b"1", timeout=5) == b"1"
        await wire.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.unary(UNARY, b"2", timeout=5) == b"2"
        assert wire.dials == 2


async def test_a_peer_that_stays_away_is_told_of_once(autojump_clock, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    async with wired() as wire, wire.channel() as channel:
        wire.refuse = True
        for _ in range(2):
            for _ in range(20):
                assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.UNAVAILABLE
                await trio.sleep(10)
            wire.refuse = False
            await trio.sleep(100)
            assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
            wire.refuse = True
            await wire.cut()
    assert caplog.text.count("node-b cannot be reached: connection refused") == 2


async def test_a_peer_that_takes_connections_and_says_nothing_is_told_of_once(autojump_clock, caplog):
    """A process that is stopped does so: the kernel takes its connections."""
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    ends = []

    async def connect():
        near, far = trio.testing.memory_stream_pair()
        ends.append(far)
        return near

    async with Channel(connect, authority="node-b") as channel:
        for _ in range(5):
            await status_of(channel.unary(UNARY, b"x", timeout=60, dial_now=True))
    assert len(ends) >= 5
    assert [line for line in caplog.messages if "SETTINGS" in line] == [
        "node-b cannot be used: no SETTINGS; next attempt in 0.1 s"
    ]


async def test_a_connection_has_the_context_of_its_channel():
    """What the log says of a connection must not name the request that happened to need it first."""
    of = ContextVar[str]("of", default="")
    of.set("the channel")
    seen: list[str] = []

    async def connect() -> trio.abc.Stream:
        seen.append(of.get())
        raise OSError

    async def call() -> None:
        of.set("a request")
        assert await status_of(channel.unary(UNARY, b"x", timeout=5)) is Status.UNAVAILABLE

    async with Channel(connect) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(call)
    assert seen == ["the channel"]
