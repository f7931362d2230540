"""What a frame costs is bounded by its length, with 256 open streams beside it: the rows of rpc/DESIGN.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hpack import Encoder

from attacks import frames
from gossipnode.rpc import Limits
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from tests.concurrency.accounts import account
from tests.hostile.work import grows_linearly, peak_of, steps_of

PATH = "/test.Test/Flow"
OPEN_STREAMS = 256
READ_BYTES = 64 * 1024
FLOW_STREAM = 1
FREE_STREAM = 2 * OPEN_STREAMS + 1
KIB = 1024
STREAMS_BYTES = 640 * KIB
"""What 256 streams take, with the head of each."""


class Attacked:
    """A server's end with 256 open streams, whose peer reads all that is written. Time stands still."""

    def __init__(self) -> None:
        self.out_bytes = 0
        self.streams: list[Stream] = []
        self.server = ServerConnection(Limits(), lambda: 0.0, account(), self._started)
        self.server.start()
        self.take(frames.GREETING)
        encoder = Encoder()  # all of its blocks but the first are the same, and cost little
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            ("content-type", "application/grpc"),
        ]
        for number in range(OPEN_STREAMS):
            self.take(
                frames.frame(frames.HEADERS, frames.END_HEADERS, 2 * number + 1, encoder.encode(fields))
            )
        assert len(self.server.streams) == OPEN_STREAMS
        self.out_bytes = 0

    def _started(self, stream: Stream, head: Head) -> None:
        self.streams.append(stream)

    def take(self, data: bytes) -> None:
        """Take bytes in the portions in which a socket gives them. Handlers hear of resets in between."""
        for at in range(0, len(data), READ_BYTES):
            self.server.receive(data[at : at + READ_BYTES])
            while self.server.crowded:
                self.server.resume()
            self.out_bytes += len(self.server.out)
            self.server.out = bytearray()
            self.server.written()
            for stream in self.streams:
                if stream.error is not None and stream.id in self.server.streams:
                    self.server.finish(stream)
            self.streams = list(self.server.streams.values())

    def make_room(self, streams: int) -> None:
        """End some of the open streams, as their handlers would."""
        for stream in list(self.server.streams.values())[:streams]:
            self.server.finish(stream)


def _entries(key: int, values: tuple[int, int]) -> Callable[[int], bytes]:
    return lambda n: frames.settings(*((key, values[at % 2]) for at in range(n)))


def _times(frame: bytes) -> Callable[[int], bytes]:
    return lambda n: frame * n


def _block(n: int) -> bytes:
    """A header block in CONTINUATION frames, one for each KiB."""
    block = frames.head(PATH, ("x", "y" * 1000 * n))
    parts = [block[at : at + KIB] for at in range(0, len(block), KIB)]
    ends = [frames.END_HEADERS if part is parts[-1] else 0 for part in parts]
    return frames.frame(frames.HEADERS, frames.END_STREAM, FREE_STREAM, parts[0]) + b"".join(
        frames.frame(frames.CONTINUATION, end, FREE_STREAM, part)
        for part, end in zip(parts[1:], ends[1:], strict=True)
    )


def _resets(n: int) -> bytes:
    return b"".join(
        frames.call(stream, PATH) + frames.reset(stream)
        for stream in range(FREE_STREAM, FREE_STREAM + 2 * n, 2)
    )


ROWS: dict[str, tuple[Callable[[int], bytes], int, float]] = {
    # What is sent n times, a small n, and the most steps of the interpreter for each.
    "DATA of 16 KiB": (_times(frames.frame(frames.DATA, 0, FLOW_STREAM, bytes(16_384))), 4, 300),
    "DATA of one byte": (_times(frames.frame(frames.DATA, 0, FLOW_STREAM, b"x")), 250, 70),
    "DATA, empty": (_times(frames.frame(frames.DATA, 0, FLOW_STREAM)), 100, 60),
    "DATA, late": (_times(frames.frame(frames.DATA, 0, FREE_STREAM - 2, b"x")), 100, 60),
    "HEADERS of many fields": (
        lambda n: frames.call(FREE_STREAM, PATH, *((f"x{at}", "y") for at in range(n)), end=True),
        60,
        150,
    ),
    "HEADERS with CONTINUATION": (_block, 2, 300),
    "HEADERS, late": (_times(frames.trailers(FREE_STREAM - 2)), 100, 350),
    "RST_STREAM": (_resets, 60, 1200),
    "SETTINGS of table sizes": (_entries(frames.HEADER_TABLE_SIZE, (0, 4096)), 600, 20),
    "SETTINGS of windows": (_entries(frames.INITIAL_WINDOW_SIZE, (65_535, 65_534)), 600, 20),
    "SETTINGS of unknown keys": (_entries(0x99, (0, 1)), 600, 20),
    "SETTINGS, empty": (_times(frames.frame(frames.SETTINGS)), 100, 100),
    "PING": (_times(frames.frame(frames.PING, payload=bytes(8))), 100, 60),
    "WINDOW_UPDATE of the connection": (_times(frames.window_update(0, 1)), 100, 60),
    "WINDOW_UPDATE of a stream": (_times(frames.window_update(FLOW_STREAM, 1)), 100, 60),
    "PRIORITY": (_times(frames.frame(2, 0, FLOW_STREAM, bytes(5))), 100, 60),
    "an unknown type": (_times(frames.frame(0x42, 0, 0, bytes(100))), 100, 60),
    "GOAWAY": (_times(frames.frame(frames.GOAWAY, payload=bytes(8) + b"x" * 2000)), 100, 80),
}


def attacked_by(name: str) -> Attacked:
    attacked = Attacked()
    if "late" in name or name == "RST_STREAM":
        attacked.make_room(OPEN_STREAMS)
    elif name.startswith("HEADERS"):
        attacked.make_room(1)
    return attacked


@pytest.mark.parametrize("name", ROWS)
def test_steps_grow_with_the_bytes(name: str) -> None:
    build, small, most = ROWS[name]

    def cost(n: int) -> int:
        attacked, data = attacked_by(name), build(n)
        return steps_of(lambda: attacked.take(data))

    assert grows_linearly(cost, small) <= most * 4 * small


@pytest.mark.parametrize("name", ROWS)
def test_memory_and_answers_stay_within_the_bytes(name: str) -> None:
    """Held are message bytes that a handler has still to read, and heads. Nothing is answered at length."""
    build, small, _ = ROWS[name]
    attacked, data = attacked_by(name), build(4 * small)
    peak = peak_of(lambda: attacked.take(data))
    assert peak <= 3 * len(data) + STREAMS_BYTES
    assert attacked.out_bytes <= len(data) + 2 * KIB


ENDLESS = [
    "DATA, empty",
    "HEADERS, late",
    "SETTINGS, empty",
    "SETTINGS of windows",
    "PING",
    "WINDOW_UPDATE of the connection",
    "PRIORITY",
    "an unknown type",
    "GOAWAY",
]


@pytest.mark.parametrize("name", ENDLESS)
def test_what_brings_nothing_ends_its_connection(name: str) -> None:
    """Whatever the size of such a frame, the number of them is bounded while time stands still."""
    build, _, _ = ROWS[name]
    attacked = attacked_by(name)
    # Each head that came before it pays for four of them.
    most = Limits().max_idle_frames + 4 * OPEN_STREAMS + 1
    with pytest.raises(ConnectionFault) as caught:
        attacked.take(build(1) * most)
    assert caught.value.code == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_stream_that_is_opened_and_reset_looks_at_all_others_once() -> None:
    """While there is no place, each new stream looks for those that have failed: a step or two for each."""
    attacked = Attacked()
    attacked.make_room(1)
    data = _resets(100)
    assert steps_of(lambda: attacked.take(data)) <= 100 * 12 * OPEN_STREAMS


def test_the_settings_that_once_froze_a_node_cost_one_change_each() -> None:
    """30 frames of 10,922 table sizes: two steps a byte at most, and an answer of a few bytes a frame."""
    attacked = Attacked()
    storm = _entries(frames.HEADER_TABLE_SIZE, (0, 4096))(10_922)
    assert steps_of(lambda: attacked.take(storm)) <= len(storm) * 2
    attacked.take(storm * 29)
    assert attacked.out_bytes <= 30 * 9
    first = attacked.streams[0]
    steps = steps_of(lambda: attacked.server.write_headers(first, ((b":status", b"200"),), []))
    assert steps < 1000
