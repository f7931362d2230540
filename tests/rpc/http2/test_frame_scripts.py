"""Generated scripts of frames against both ends: whatever comes, in whatever order and portions.

After each script another connection is served, nothing has escaped into the log, and no call is left.
"""

import logging
import random
from contextlib import suppress

import pytest
import trio
import trio.testing
from hpack import Encoder
from hyperframe.frame import (
    GoAwayFrame,
    PingFrame,
    SettingsFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.rpc import Limits, RpcError
from tests.rpc.methods import PREFACE, UNARY
from tests.rpc.wired import wired

PATHS = ["/test.Test/Unary", "/test.Test/Flow", "/no/such"]


MESSAGES = [
    b"",
    b"\0\0\0\0\1x",
    b"\0\0\0\0\3bad",
    b"\0\0\0",
    b"\1\0\0\0\0",
    b"\0\xff\xff\xff\xff",
    b"\0\0\0\4\0" + bytes(1024),
]


stream_ids = st.sampled_from([0, 1, 3, 5, 7, 9, 2, 101])


steps = st.one_of(
    st.tuples(st.just("request"), stream_ids, st.sampled_from(PATHS), st.booleans()),
    st.tuples(st.just("data"), stream_ids, st.sampled_from(MESSAGES), st.booleans()),
    st.tuples(st.just("reset"), stream_ids, st.integers(0, 20)),
    st.tuples(st.just("window"), stream_ids, st.sampled_from([0, 1, 70_000, 2**31 - 1])),
    st.tuples(st.just("settings"), st.integers(0, 9), st.sampled_from([0, 1, 16_384, 65_536, 2**31 - 1])),
    st.tuples(st.just("headers"), stream_ids, st.binary(max_size=20), st.booleans()),
    st.tuples(st.just("continuation"), stream_ids, st.binary(max_size=20), st.booleans()),
    st.tuples(st.just("ping"), st.booleans()),
    st.tuples(st.just("priority"), stream_ids),
    st.tuples(st.just("goaway"), stream_ids),
    st.tuples(st.just("frame"), st.integers(0, 255), st.integers(0, 255), stream_ids, st.binary(max_size=30)),
    st.tuples(st.just("bytes"), st.binary(max_size=30)),
)


def spell(encoder: Encoder, step: tuple) -> bytes:
    """The bytes of one step. hyperframe refuses some of what a bad peer says, so parts are made by hand."""
    match step:
        case ("request", stream_id, path, end):
            fields = [(":method", "POST"), (":scheme", "http"), (":path", path)]
            fields.append(("content-type", "application/grpc"))
            return raw(1, 4 | end, stream_id, encoder.encode(fields))
        case ("data", stream_id, data, end):
            return raw(0, int(end), stream_id, data)
        case ("reset", stream_id, code):
            return raw(3, 0, stream_id, code.to_bytes(4, "big"))
        case ("window", stream_id, amount):
            return raw(8, 0, stream_id, amount.to_bytes(4, "big"))
        case ("settings", key, value):
            return SettingsFrame(0, {key: value}).serialize()
        case ("headers", stream_id, block, end):
            return raw(1, 4 if end else 0, stream_id, block)
        case ("continuation", stream_id, block, end):
            return raw(9, 4 if end else 0, stream_id, block)
        case ("ping", ack):
            return PingFrame(0, flags=["ACK"] if ack else []).serialize()
        case ("priority", stream_id):
            return raw(2, 0, stream_id, bytes(5))
        case ("goaway", stream_id):
            return GoAwayFrame(0, last_stream_id=stream_id).serialize()
        case ("frame", kind, flags, stream_id, body):
            return raw(kind, flags, stream_id, body)
        case ("bytes", data):
            return data
    return b""


def raw(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


async def play(script, portion, pauses):
    """Run one script in portions of so many bytes, and check what must always hold."""
    limits = Limits(max_message_bytes=100_000, stream_window_bytes=65_535, max_streams_per_connection=3)
    async with wired(limits=limits) as wire, wire.channel() as channel:
        peer = await wire.raw()
        encoder = Encoder()
        data = PREFACE + SettingsFrame(0).serialize()
        for step in script:
            data += spell(encoder, step)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for start in range(0, len(data), portion):
                await peer.send(data[start : start + portion])
                if pauses:
                    await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        assert await channel.unary(UNARY, b"served", timeout=5) == b"served"
        assert wire.server.connection_count <= 2
        await trio.aclose_forcefully(peer.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.server.connection_count == 1
        assert wire.server.call_count == 0


class Complaints(logging.Handler):
    """Collects what would be a traceback in a log."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        if record.exc_info or record.levelno >= logging.ERROR:
            self.records.append(record.getMessage())


def run_quietly(run, *args):
    """Run under virtual time, with Trio's own choices repeatable; no complaint may reach the log."""
    complaints = Complaints()
    logger = logging.getLogger("gossipnode.rpc")
    logger.addHandler(complaints)
    try:
        trio.run(run, *args, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        logger.removeHandler(complaints)
    assert complaints.records == []


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=40), st.sampled_from([1, 7, 100, 65_536]), st.booleans())
def test_any_script_of_frames_to_the_server(script, portion, pauses):
    run_quietly(play, script, portion, pauses)


async def play_server(script, portion):
    """The same frames as a server's answer: the call fails or ends, in bounded time, and nothing stays."""
    ours, theirs = trio.testing.memory_stream_pair()

    async def connect():
        await trio.lowlevel.checkpoint()
        return ours

    async def answer(stream):
        encoder = Encoder()
        data = SettingsFrame(0).serialize()
        data += b"".join(spell_answer(encoder, step) for step in script)
        for start in range(0, len(data), portion):
            try:
                await stream.send_all(data[start : start + portion])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async with wired() as wire, trio.open_nursery() as nursery:
        wire.connect = connect
        async with wire.channel(Limits(max_message_bytes=100_000)) as channel:
            nursery.start_soon(answer, theirs)
            began = trio.current_time()
            with suppress(RpcError):
                assert isinstance(await channel.unary(UNARY, b"x", timeout=5), bytes)
            assert trio.current_time() - began <= 5
            usable = channel._dialer.usable
            assert usable is None or not usable.streams
        nursery.cancel_scope.cancel()


def spell_answer(encoder: Encoder, step: tuple) -> bytes:
    if step[0] == "request":
        _, stream_id, path, end = step
        fields = [("grpc-status", "0")] if path == PATHS[2] else []
        head = [(":status", "200"), ("content-type", "application/grpc")] if path != PATHS[1] else []
        return raw(1, 4 | end, stream_id, encoder.encode(head + fields))
    return spell(encoder, step)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(steps, max_size=30), st.sampled_from([1, 7, 65_536]))
def test_any_script_of_frames_to_the_client(script, portion):
    run_quietly(play_server, script, portion)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_valid_traffic_with_flipped_bits(seed):
    """What a real client says, damaged at a few places."""
    rng = random.Random(seed)
    encoder = Encoder()
    script = [("request", number, PATHS[number % 3], False) for number in range(1, 40, 2)]
    script += [("data", number, MESSAGES[1], True) for number in range(1, 40, 2)]
    data = bytearray(b"".join(spell(encoder, step) for step in script))
    for _ in range(5):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    run_quietly(play, [("bytes", bytes(data))], 100, True)
