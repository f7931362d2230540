"""The layer of bytes: frames into both ends of a connection, in any portions, while tasks use its streams.

A step is one thing that the peer sends, or that a task at this end does. Nothing but ConnectionFault may
leave `receive`, nothing but RpcError what tasks call; and the state keeps its bounds, whatever comes.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random
from typing import Any

from fuzzing.inputs import Steps
from gossipnode.rpc import Limits, RpcError
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.connection import CONNECTION_BYTES
from gossipnode.rpc.http2.headers import _HEAD_FACTOR
from gossipnode.rpc.http2.http2_faults import ConnectionFault
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.message_framing import frame_message
from gossipnode.rpc.metadata import parse_timeout, status_fields
from gossipnode.rpc.status import Status
from tests.concurrency.accounts import account
from tests.fuzz.tape import Tape, choices
from tests.rpc.http2.joined import REQUEST, RESPONSE

# Small enough that an input meets each of them.
LIMITS = Limits(
    max_message_bytes=3000,
    max_streams_per_connection=3,
    max_header_block_bytes=600,
    max_header_list_bytes=500,
    max_refused_list_bytes=900,
    max_continuation_frames=3,
    max_cached_header_blocks=3,
    max_frame_bytes=16_384,
    stream_window_bytes=65_535,
    connection_window_bytes=65_535,
    first_window_bytes=65_535,
    write_buffer_bytes=4000,
    max_control_bytes=300,
    max_resets=5,
    max_idle_frames=20,
)
# The same as every connection has them, but for what would take megabytes to meet.
USUAL = Limits(stream_window_bytes=65_535, connection_window_bytes=65_535)

STEP_BYTES = 16
"""What a step of a task counts for when the cost of an input is judged."""

PACKED = 3

STREAM_IDS = (1, 3, 5, 7, 9, 2, 0, 101, frames.LAST_STREAM_ID)
AMOUNTS = (0, 1, 100, 65_535, 70_000, frames.LARGEST_WINDOW_BYTES, 0xFFFFFFFF)
_PLAIN = 0x10  # a field that gets no place in the table (RFC 7541, 6.2.3), without indexes


def plain_block(*fields: tuple[bytes, bytes]) -> bytes:
    """A header block that means the same at any time, because it touches no table."""
    return b"".join(b"\x10%c%b%c%b" % (len(name), name, len(value), value) for name, value in fields)


BLOCKS = (
    plain_block(*REQUEST),
    plain_block(*RESPONSE),
    plain_block((b"grpc-status", b"0")),
    plain_block(*RESPONSE, (b"grpc-status", b"5"), (b"grpc-message", b"a%20b%")),
    plain_block(*REQUEST, (b"grpc-timeout", b"5S"), (b"grpc-encoding", b"gzip"), (b"x-bin", b"AA")),
    plain_block((b":status", b"100")),
    plain_block(*RESPONSE, (b"grpc-encoding", b"gzip")),
    plain_block((b":status", b"503"), (b"content-type", b"text/plain")),
    plain_block(*REQUEST, (b"x", b"y" * 90), (b"x", b"y" * 90), (b"z", b"y" * 90)),
    # With the table: an entry is added, one of the added is named, the size of the table changes.
    b"\x83\x86\x40\x01x\x02yz",
    b"\x83\x84\xbe",
    b"\x3f\xe1\x1f\x83",
    b"\x20\x83",
    b"",
)


class FramesPeer:
    """One end of a connection, whose peer sends the steps of an input."""

    def __init__(self, tape: Tape) -> None:
        self.time = 0.0
        self.limits = LIMITS if tape.flag() else USUAL
        self.connection: ClientConnection | ServerConnection
        self.memory = account()
        self.portion = 0
        self.heard_bytes = 0
        if tape.flag():
            self.connection = ClientConnection(self.limits, lambda: self.time, self.memory)
        else:
            self.connection = ServerConnection(self.limits, lambda: self.time, self.memory, self.start_call)
        self.streams: list[Stream] = []
        self.first_window = self.connection.receive_window
        self.connection.start()
        self.written()
        if not tape.flag():
            self.hear((b"" if self.connection.client else frames.PREFACE) + frames.settings_frame({}))

    def start_call(self, stream: Stream, head: Head) -> None:
        """What the server does with a head before a handler runs."""
        try:
            parse_timeout(head)
        except ValueError:
            self.server.refuse(stream, *status_fields(Status.INTERNAL, "bad timeout", False))
            return
        self.streams.append(stream)

    @property
    def server(self) -> ServerConnection:
        assert isinstance(self.connection, ServerConnection)
        return self.connection

    # What the peer does

    def hear(self, data: bytes) -> None:
        """Bytes arrive. The driver reads on after the end, and drops what comes."""
        portion = self.portion or len(data) or 1
        self.heard_bytes += len(data)
        for at in range(0, len(data), portion):
            if self.connection.closing:
                return
            try:
                self.connection.receive(data[at : at + portion])
                while self.connection.crowded and not self.connection.closing:
                    self.end_failed()
                    self.connection.resume()
            except ConnectionFault as fault:
                self.connection.close(fault.code, str(fault))

    def end_failed(self) -> None:
        """The handlers of streams that have failed end. One that runs on ends, too, if none has failed."""
        failed = [stream for stream in self.streams if stream.error is not None] or self.streams[:1]
        for stream in failed:
            self.finish(stream)

    def frame(self, tape: Tape) -> None:
        kind, flags, stream_id = tape.below(12), tape.byte(), tape.pick(STREAM_IDS)
        self.hear(frames.frame(kind, flags, stream_id, tape.rest()))

    def strange(self, tape: Tape) -> None:
        self.hear(tape.rest())

    def sized(self, tape: Tape) -> None:
        """A frame that announces another size than it has."""
        size, kind = tape.number(3), tape.byte()
        self.hear(size.to_bytes(3, "big") + bytes([kind]) + tape.rest())

    def head(self, tape: Tape) -> None:
        flags, stream_id, block = tape.byte(), tape.pick(STREAM_IDS), tape.pick(BLOCKS)
        self.hear(frames.frame(frames.HEADERS, flags ^ frames.END_HEADERS, stream_id, block + tape.rest()))

    def continuation(self, tape: Tape) -> None:
        flags, stream_id = tape.byte(), tape.pick(STREAM_IDS)
        self.hear(frames.frame(frames.CONTINUATION, flags, stream_id, tape.pick(BLOCKS) + tape.rest()))

    def message(self, tape: Tape) -> None:
        flags, stream_id, more = tape.byte(), tape.pick(STREAM_IDS), tape.number(2)
        compressed, payload = tape.below(4), tape.rest()
        if compressed == PACKED:
            compressed, payload = 1, gzip.compress(payload * (1 + more // 100), mtime=0)
        prefix = bytes([compressed]) + (len(payload) + more % 5000).to_bytes(4, "big")
        self.hear(frames.frame(frames.DATA, flags, stream_id, prefix + payload))

    def bulk(self, tape: Tape) -> None:
        """DATA of up to a whole frame, of which the input says only the length."""
        flags, stream_id, size = tape.byte(), tape.pick(STREAM_IDS), tape.number(2)
        self.hear(frames.frame(frames.DATA, flags, stream_id, tape.rest() + bytes(size % 16_300)))

    def goaway(self, tape: Tape) -> None:
        payload = frames.GOAWAY_FIELDS.pack(tape.pick(STREAM_IDS), tape.byte()) + tape.rest()
        self.hear(frames.frame(frames.GOAWAY, 0, 0, payload))

    def settings(self, tape: Tape) -> None:
        payload = b""
        while tape.left:
            payload += frames.SETTING.pack(tape.below(8), tape.pick(AMOUNTS))
        self.hear(frames.frame(frames.SETTINGS, 0, 0, payload))

    def window(self, tape: Tape) -> None:
        stream_id, amount = tape.pick(STREAM_IDS), tape.pick(AMOUNTS)
        self.hear(frames.frame(frames.WINDOW_UPDATE, 0, stream_id, frames.U32.pack(amount)))

    def many(self, tape: Tape) -> None:
        """The same frame again and again."""
        count, kind, flags, stream_id = 1 + tape.below(64), tape.below(12), tape.byte(), tape.pick(STREAM_IDS)
        self.hear(count * frames.frame(kind, flags, stream_id, tape.rest()[:64]))

    def cut(self, tape: Tape) -> None:
        """From now on bytes come in portions of this size; 0 is for as they were sent."""
        self.portion = tape.byte()

    # What tasks at this end do

    def pick_stream(self, tape: Tape) -> Stream | None:
        return tape.pick(self.streams) if self.streams else None

    def open(self, tape: Tape) -> None:
        connection = self.connection
        if isinstance(connection, ClientConnection) and connection.usable and connection.has_place:
            self.streams.append(connection.open(REQUEST, [("x", "y" * tape.byte())]))

    def take(self, tape: Tape) -> None:
        if (stream := self.pick_stream(tape)) is None:
            return
        try:
            for message in self.connection.take(stream, 1 + tape.below(4)):
                assert len(message) <= self.limits.max_message_bytes
            if stream.error is None and stream.remote_ended:
                stream.check_end()
        except RpcError:
            self.finish(stream)

    def send(self, tape: Tape) -> None:
        if (stream := self.pick_stream(tape)) is None:
            return
        end, data = tape.flag(), frame_message(bytes(tape.number(2) % 5000))
        try:
            stream.check_open()
        except RpcError:
            return
        if not stream.headers_sent:
            self.connection.write_headers(stream, RESPONSE, [])
        before = stream.send_window
        sent = self.connection.write_data(stream, data, 0, end=end)
        assert sent == 0 or sent <= before, "more was sent than the window allows"

    def finish(self, stream: Stream) -> None:
        self.streams.remove(stream)
        self.connection.finish(stream)
        assert stream.id not in self.connection.streams

    def end(self, tape: Tape) -> None:
        if (stream := self.pick_stream(tape)) is not None:
            self.finish(stream)

    def written(self, _tape: Tape | None = None) -> None:
        check_frames(bytes(self.connection.out), preface=self.connection.client)
        self.connection.out = bytearray()
        self.connection.written()

    def later(self, tape: Tape) -> None:
        self.time += tape.byte()

    def drain(self, _tape: Tape) -> None:
        self.connection.drain()

    def close(self, _tape: Tape) -> None:
        self.connection.close()

    # What always holds

    def check(self) -> None:
        connection, limits = self.connection, self.limits
        check_frames(bytes(connection.out), preface=connection.client)
        assert 0 <= connection.send_window <= frames.LARGEST_WINDOW_BYTES or connection.closing
        assert connection.receive_window <= self.first_window, "more credit than there is"
        assert connection.receive_window >= 0 or connection.closing
        for stream in connection.streams.values():
            assert stream.send_window <= frames.LARGEST_WINDOW_BYTES or connection.closing or stream.error
            assert len(stream.inbound) <= self.first_window + limits.max_message_bytes
        most = limits.max_streams_per_connection
        assert connection.client or len(connection.streams) <= 2 * most
        assert self.memory.held >= 0

    def end_all(self) -> None:
        """The connection ends, and with it every task that used it: nothing is left."""
        self.connection.close()
        for stream in list(self.streams):
            assert stream.error is not None or stream.remote_ended, "a task would wait for ever"
            self.finish(stream)
        assert not self.connection.streams, "a stream is left that no task knows"
        heads = self.connection._decoder._heads_bytes * _HEAD_FACTOR
        assert self.memory.held == CONNECTION_BYTES + heads, "bytes are held for nobody"
        self.check()


def check_frames(out: bytes, *, preface: bool) -> None:
    """What is queued is whole frames of a size that every peer takes."""
    at = len(frames.PREFACE) if preface and out.startswith(frames.PREFACE) else 0
    while at < len(out):
        assert len(out) - at >= frames.FRAME_HEADER_BYTES, "a part of a frame is queued"
        high, low, kind, _, stream_id = frames.FRAME_HEADER.unpack_from(out, at)
        size = high << 8 | low
        assert size <= LIMITS.max_frame_bytes or kind != frames.DATA or size <= USUAL.max_frame_bytes
        assert kind <= frames.CONTINUATION
        assert stream_id <= frames.LAST_STREAM_ID
        at += frames.FRAME_HEADER_BYTES + size
    assert at == len(out), "a part of a frame is queued"


ACTIONS: tuple[Callable[[FramesPeer, Tape], Any], ...] = (
    FramesPeer.frame,
    FramesPeer.head,
    FramesPeer.message,
    FramesPeer.take,
    FramesPeer.end,
    FramesPeer.send,
    FramesPeer.open,
    FramesPeer.written,
    FramesPeer.settings,
    FramesPeer.window,
    FramesPeer.continuation,
    FramesPeer.bulk,
    FramesPeer.many,
    FramesPeer.cut,
    FramesPeer.later,
    FramesPeer.strange,
    FramesPeer.sized,
    FramesPeer.drain,
    FramesPeer.goaway,
    FramesPeer.close,
)


def run(steps: Steps) -> int:
    """Let the peer send these steps; gives how many bytes that was."""
    peer = FramesPeer(Tape(steps[0] if steps else b""))
    for step in steps[1:]:
        tape = Tape(step)
        tape.pick(ACTIONS)(peer, tape)
        peer.check()
    peer.end_all()
    return peer.heard_bytes + STEP_BYTES * len(steps)


def fresh(random: Random) -> bytes:
    return bytes([random.randrange(len(ACTIONS))]) + choices(random)
