"""The bytes that one connection has to send, and the windows in both directions (RFC 9113, 5.2).

Pure state. Only whole frames are queued, so that the driver may stop between any two writes. Must never
queue DATA beyond the peer's windows or the write buffer.
"""

from collections.abc import Callable
from typing import Final

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.head import Fields
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.floods import Floods
from gossipnode.rpc.http2.headers import HeaderEncoder
from gossipnode.rpc.http2.http2_faults import ErrorCodes
from gossipnode.rpc.http2.stream import NOBODY, Stream, Wakeable
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.message_framing import cut_messages, first_message_bytes
from gossipnode.rpc.status import RpcError

# Credit is given back when a quarter of a window is used up: a frame for each read would cost more.
_WINDOW_PARTS: Final = 4
# A stream whose reader keeps up is promised this part of what its caller may still be promised, so that many
# streams at once find something left.
_PROMISE_PARTS: Final = 8


class Outbound:
    """What a connection may send, and the credit that it gives for what it has read.

    `now` tells the time in seconds, from any start. What the peer has sent and nobody has read is counted in
    `memory`.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], memory: MemoryAccount) -> None:
        self.limits = limits
        self.memory = memory
        self.out = bytearray()
        # The task that sends what is in `out`.
        self.writer: Wakeable = NOBODY
        # Streams whose senders wait for a window or for the transport, first come first served.
        self.blocked: dict[Stream, None] = {}
        self.encoder = HeaderEncoder(limits)
        self.floods = Floods(limits, now)
        self.send_window = frames.DEFAULT_WINDOW_BYTES
        self.receive_window: int = max(limits.connection_window_bytes, frames.DEFAULT_WINDOW_BYTES)
        # What the peer may send on a new stream before anybody reads it.
        self.first_window_bytes: int = max(
            min(limits.first_window_bytes, limits.stream_window_bytes), frames.DEFAULT_WINDOW_BYTES
        )
        self.peer_frame_bytes = frames.DEFAULT_FRAME_BYTES
        # Streams that have failed, and whose calls have not ended yet.
        self.failed_streams: int = 0
        self._uncredited = 0

    # Sending.

    def write(self, data: bytes) -> None:
        """Queue whole frames and wake the writer."""
        self.out += data
        self.writer.wake()

    @property
    def full(self) -> bool:
        """Whether senders must wait for the transport."""
        return len(self.out) >= self.limits.write_buffer_bytes

    def write_headers(
        self, stream: Stream, fields: Fields, once: list[tuple[str, str]], *, end: bool = False
    ) -> None:
        """Queue a header block on `stream`: `fields`, which are likely to be repeated, then `once`."""
        stream.headers_sent = True
        stream.local_ended = end
        self.write(
            frames.headers_frames(stream.id, self.encoder.encode(fields, once), end, self.peer_frame_bytes)
        )

    def write_data(self, stream: Stream, data: bytes, sent: int, *, end: bool) -> int:
        """Queue as much of `data[sent:]` as windows and write buffer allow.

        Returns how many bytes of `data` are sent now. `end` half-closes the stream with the last of them.
        """
        size = len(data)
        while True:
            left = size - sent
            amount = min(left, self.send_window, stream.send_window, self.peer_frame_bytes)
            if left and (amount <= 0 or self.full):
                return sent
            last = amount == left
            part = data if amount == size else memoryview(data)[sent : sent + amount]
            self.write(frames.frame(frames.DATA, frames.END_STREAM if end and last else 0, stream.id, part))
            self.floods.work_done()
            sent += amount
            stream.send_window -= amount
            self.send_window -= amount
            stream.bytes_sent += amount
            if last:
                stream.local_ended = stream.local_ended or end
                return sent

    def written(self) -> None:
        """The transport took what was queued: senders that wait for room may try again."""
        if self.blocked and not self.full:
            self.wake_blocked()

    def wake_blocked(self) -> None:
        """Wake each sender that waits for a window or for the transport, first come first served."""
        for stream in list(self.blocked):
            stream.sender.wake()

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
        """Queue RST_STREAM. What the peer still sends on the stream is dropped from now on."""
        stream.cut_off = stream.cut_off or not stream.remote_ended
        stream.local_ended = stream.remote_ended = True
        self.write(frames.reset_frame(stream.id, code))

    def fail(self, stream: Stream, error: RpcError) -> None:
        """End a running stream for the tasks that use it, as `Stream.fail` does."""
        if stream.error is None:
            self.failed_streams += 1
        stream.fail(error)

    # Reading, which gives the peer its windows back.

    def take(self, stream: Stream, max_messages: int) -> list[bytes]:
        """Up to `max_messages` whole messages of what has arrived on `stream`, without waiting.

        Raises RpcError: RESOURCE_EXHAUSTED for a message that is too large, as it comes or inflated; INTERNAL
        for a wrong compression.
        """
        messages: list[bytes] = []
        taken = 0
        if inbound := stream.inbound:
            largest = stream.max_message_bytes or self.limits.max_message_bytes
            messages, taken = cut_messages(inbound, max_messages, largest, gzip=stream.gzip)
            if taken == len(inbound):
                stream.inbound = bytearray()
            elif taken:
                del inbound[:taken]
            stream.bytes_received += taken
        # What a reader was given stays counted until it asks for more, or the call ends.
        if stream.handed:
            self.memory.give_back(stream.handed)
        stream.handed = taken
        if messages and stream.promised:
            self.memory.let_in_no_more(stream)
        if stream.remote_ended:
            self.promise(stream, 0)
            self.expect_no_more(stream)
        elif stream.error is None:
            wanted = 0 if messages else first_message_bytes(stream.inbound)
            here = len(stream.inbound) + stream.receive_window
            window = self.first_window_bytes + stream.promised
            if here < max(wanted, window - window // _WINDOW_PARTS):
                self._grant(stream, here, wanted)
        return messages

    def _grant(self, stream: Stream, here: int, wanted_bytes: int) -> None:
        """Let the peer send more than what is `here` or under way, as far as the memory allows.

        A reader that keeps up gets a large window. One that waits for a message of `wanted_bytes` needs all
        of it here, however large the window is; if there is no room for it now, the reader waits for that.
        """
        first = self.first_window_bytes
        memory, promised = self.memory, stream.promised
        room = memory.budget.promise_room(memory.caller) + promised
        goal = first + min(max(0, self.limits.stream_window_bytes - first), room // _PROMISE_PARTS)
        if wanted_bytes > goal and not memory.may_promise(wanted_bytes - first, promised, stream):
            stream.starved = True
        else:
            goal = max(goal, wanted_bytes)
        if goal > here:
            stream.receive_window += goal - here
            self.write(frames.window_update_frame(stream.id, goal - here))
        self.promise(stream, max(goal, here) - first)
        if goal >= wanted_bytes:
            self.starves_no_more(stream)

    def starves_no_more(self, stream: Stream) -> None:
        """There is memory for what the reader of `stream` waits for, or it waits no more."""
        if stream.starved:
            stream.starved = False
            self.memory.budget.wait_no_more(self.memory, stream)

    def promise(self, stream: Stream, promised: int) -> None:
        """Remember that the peer was promised `promised` bytes on `stream`, beyond its first window."""
        if promised != stream.promised:
            self.memory.promise(promised - stream.promised)
            stream.promised = promised
            if not promised:
                self.memory.let_in_no_more(stream)

    def expect_no_more(self, stream: Stream) -> None:
        """The peer sends no more on `stream`: its first window is free. Harmless when repeated."""
        if stream.expected:
            self.memory.expect_no_more(stream.expected)
            stream.expected = 0

    def credit_connection(self, amount: int) -> None:
        """Give `amount` bytes of the connection's own window back to the peer.

        That is done as soon as they are here: a stream that nobody reads must not stop the others. What it
        may hold is bounded by its own window, and by the caller's share of the memory.
        """
        self._uncredited += amount
        if self._uncredited >= self.limits.connection_window_bytes // _WINDOW_PARTS:
            self.receive_window += self._uncredited
            self.write(frames.window_update_frame(0, self._uncredited))
            self._uncredited = 0
