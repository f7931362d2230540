"""Frames that ask for no work: a flood of them ends its connection, calm traffic does not."""

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gossipnode.rpc import Limits
from gossipnode.rpc.http2.floods import Floods
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from tests.rpc.methods import FLOW
from tests.rpc.raw_peer import message, unknown_frame
from tests.rpc.wired import against

FLOODS = {
    "settings": SettingsFrame(0, {3: 100}).serialize(),
    "settings acks": SettingsFrame(0, flags=["ACK"]).serialize(),
    "ping": PingFrame(0).serialize(),
    "ping acks": PingFrame(0, flags=["ACK"]).serialize(),
    "empty data": DataFrame(1).serialize(),
    "priority": PriorityFrame(1).serialize(),
    "unknown frames": unknown_frame(0x42, 0),
    "windows": WindowUpdateFrame(0, 1).serialize(),
}


@pytest.mark.parametrize("name", list(FLOODS))
@pytest.mark.parametrize("reads", [True, False])
async def test_flood(caplog, name, reads):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, FLOW.path))

        async def flood():
            for _ in range(1000):
                await peer.send(FLOODS[name] * 1000)
                if peer.received and isinstance(peer.received[-1], GoAwayFrame):
                    return

        async with trio.open_nursery() as nursery:
            if reads:
                nursery.start_soon(flood)
                assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
                nursery.cancel_scope.cancel()
        if not reads:
            await peer.send(FLOODS[name] * 5000)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.slow
async def test_calm_traffic_is_no_flood(caplog, autojump_clock):
    async with against(caplog) as peer:
        await peer.send(peer.request(1, FLOW.path))
        for _ in range(1_500):
            await peer.send(DataFrame(1, message(b"x")), PingFrame(0), WindowUpdateFrame(0, 1))
        await peer.send(DataFrame(1, flags=["END_STREAM"]))
        await peer.fields(1)
        assert (await peer.fields(1))["grpc-status"] == "0"


@pytest.mark.slow
async def test_rapid_reset(caplog):
    async with against(caplog) as peer:
        async with trio.open_nursery() as nursery:

            async def flood():
                for stream_id in range(1, 20_000, 2):
                    await peer.send(peer.request(stream_id, FLOW.path), RstStreamFrame(stream_id, 8))

            nursery.start_soon(flood)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_resets_provoked_by_bad_frames(caplog):
    async with against(caplog) as peer:
        async with trio.open_nursery() as nursery:

            async def flood():
                for stream_id in range(1, 20_000, 2):
                    await peer.send(
                        peer.request(stream_id, FLOW.path),
                        b"\0\0\4\x08\0%b" % stream_id.to_bytes(4, "big") + bytes(4),
                    )

            nursery.start_soon(flood)
            assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
            nursery.cancel_scope.cancel()


# The counters alone, with a clock that the test moves.


class Clock:
    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time


def test_idle_frames_may_come_as_slowly_as_the_limit_says():
    clock = Clock()
    floods = Floods(Limits(max_idle_frames=10, idle_frames_interval_seconds=5.0), clock.now)
    for _ in range(3):
        for _ in range(10):
            floods.idle_frame()
        clock.time += 5.0
        floods.idle_frame()
    for _ in range(10):
        floods.idle_frame()
    with pytest.raises(ConnectionFault, match="carry nothing"):
        floods.idle_frame()


def test_work_pays_for_idle_frames():
    floods = Floods(Limits(max_idle_frames=10), Clock().now)
    for _ in range(100):
        for _ in range(4):
            floods.idle_frame()
        floods.work_done()


def test_resets_are_counted_over_an_interval():
    clock = Clock()
    floods = Floods(Limits(max_resets=3, reset_interval_seconds=2.0), clock.now)
    for _ in range(3):
        floods.reset()
    clock.time = 2.0
    for _ in range(4):
        floods.reset()
    with pytest.raises(ConnectionFault, match="resets"):
        floods.reset()


def test_replies_are_counted_only_while_the_peer_does_not_read():
    floods = Floods(Limits(max_control_bytes=100), Clock().now)
    for _ in range(100):
        floods.reply(60, unwritten=0)
    with pytest.raises(ConnectionFault, match="not read"):
        floods.reply(60, unwritten=1)


def test_resets_beyond_the_burst_are_judged_by_their_share():
    floods = Floods(Limits(max_resets=10, max_reset_share=0.5, reset_interval_seconds=2.0), Clock().now)
    for _ in range(100):
        floods.stream_opened()
    for _ in range(50):
        floods.reset()
    with pytest.raises(ConnectionFault, match="resets"):
        floods.reset()
