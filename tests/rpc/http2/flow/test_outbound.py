"""What is queued for a peer is bounded, and what it has sent is credited."""

import gc
import tracemalloc

import pytest
import trio
import trio.testing
from hyperframe.frame import (
    DataFrame,
    Frame,
    PingFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)

from gossipnode.rpc import Limits, RpcError, Status
from gossipnode.rpc.http2.outbound import Outbound
from gossipnode.rpc.http2.stream import Stream
from tests.concurrency.accounts import account
from tests.rpc.http2.joined import Sleeper
from tests.rpc.methods import FLOW, UNARY, echo
from tests.rpc.raw_peer import RawPeer, message
from tests.rpc.wired import wired


class BlockedStream(trio.abc.Stream):
    """A transport whose peer never reads: what is sent never leaves."""

    def __init__(self, inner):
        self.inner = inner

    async def send_all(self, data):
        await trio.sleep_forever()

    async def wait_send_all_might_not_block(self):
        await trio.sleep_forever()

    async def receive_some(self, max_bytes=None):
        return await self.inner.receive_some(max_bytes)

    async def aclose(self):
        await self.inner.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ping", "unary", "failing", "unknown method", "reset", "flow"])
async def test_peer_that_never_reads_is_bounded(autojump_clock, kind):
    async def generous(stream):
        while True:
            await stream.send(bytes(10_000))

    async def failing(request, call):
        raise RpcError(Status.ABORTED, "x" * 1000)

    limits = Limits(max_idle_frames=10**9, max_resets=10**9, close_seconds=5)
    handlers = {UNARY: failing if kind == "failing" else echo, FLOW: generous}
    async with wired(handlers, limits=limits) as wire:
        ours, theirs = trio.testing.memory_stream_pair()
        wire.nursery.start_soon(wire.server.serve_stream, BlockedStream(theirs))
        peer = RawPeer(ours)
        await peer.start()
        await peer.send(WindowUpdateFrame(0, 2**30))
        gc.collect()
        tracemalloc.start()
        try:
            for stream_id in range(1, 1_001, 2):
                if kind == "ping":
                    await peer.send(*[PingFrame(0)] * 40)
                elif kind == "reset":
                    await peer.send(peer.request(stream_id, FLOW.path), RstStreamFrame(stream_id, 8))
                else:
                    path = {"unknown method": "/no/method", "flow": FLOW.path}.get(kind, UNARY.path)
                    await peer.send(peer.request(stream_id, path))
                    await peer.send(DataFrame(stream_id, message(b"x"), flags=["END_STREAM"]))
                if stream_id % 100 == 1:
                    await trio.testing.wait_all_tasks_blocked()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await trio.testing.wait_all_tasks_blocked()
        queued = max((len(connection.out) for connection in wire.server._connections), default=0)
        assert queued <= limits.write_buffer_bytes + limits.max_frame_bytes + 2000
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown < 10 * 2**20  # 256 calls with 10 kB each, and little else
        await trio.aclose_forcefully(ours)
        await trio.sleep(20)
        assert wire.server.connection_count == 0


async def test_what_is_never_read_does_not_use_up_the_connection():
    """Each call leaves 40 kB unread: together far more than the connection's window."""

    async def uninterested(stream):
        await stream.recv()

    limits = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with wired({FLOW: uninterested}, limits=limits) as wire, wire.channel() as channel:
        with trio.fail_after(5):
            for _ in range(50):
                async with channel.stream(FLOW, timeout=5) as stream:
                    await stream.send_batch([bytes(10_000)] * 5)
                    assert await stream.recv() is None
        assert wire.dials == 1


# The same state without Trio.


def frames_in(data: bytes) -> list[Frame]:
    frames = []
    while data:
        frame, size = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + size]))
        frames.append(frame)
        data = data[9 + size :]
    return frames


def outbound(limits: Limits) -> tuple[Outbound, Stream]:
    return Outbound(limits, lambda: 0.0, account()), Stream(1, 65_535, 65_535, at_client=True)


def test_data_stops_at_the_smallest_bound():
    state, stream = outbound(Limits(write_buffer_bytes=1_000_000))
    stream.send_window = 40_000
    data = bytes(50_000)
    assert state.write_data(stream, data, 0, end=True) == 40_000
    sizes = [len(frame.data) for frame in frames_in(bytes(state.out))]
    assert sizes == [16_384, 16_384, 7_232]
    assert not stream.local_ended
    stream.send_window = 1_000_000
    assert state.write_data(stream, data, 40_000, end=True) == 50_000
    assert stream.local_ended
    assert state.send_window == 65_535 - 50_000


def test_data_stops_when_the_write_buffer_is_full():
    state, stream = outbound(Limits(write_buffer_bytes=20_000))
    assert state.write_data(stream, bytes(60_000), 0, end=True) == 2 * 16_384
    assert state.full


def test_the_writer_is_woken_by_what_is_queued():
    state, _ = outbound(Limits())
    state.writer = writer = Sleeper()
    state.write(b"x")
    assert writer.woken == 1


def test_blocked_senders_are_woken_once_there_is_room():
    state, stream = outbound(Limits(write_buffer_bytes=10))
    stream.sender = sender = Sleeper()
    state.blocked[stream] = None
    state.write(bytes(20))
    state.written()
    assert sender.woken == 0
    state.out = bytearray()
    state.written()
    assert sender.woken == 1
