"""The bytes that one connection has to send, and the windows in both directions (RFC 9113, 5.2).

Pure state. Only whole frames are queued, so that the driver may stop between any two writes. Must never
queue DATA beyond the peer's windows or the write buffer.
"""

from collections.abc import Callable
from typing import Final

from gossipnode.rpc.head import Fields
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.floods import Floods
from gossipnode.rpc.http2.headers import HeaderEncoder
from gossipnode.rpc.http2.http2_faults import ErrorCodes
from gossipnode.rpc.http2.stream import NOBODY, Stream, Wakeable
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.message_framing import cut_messages
from gossipnode.rpc.status import RpcError, Status

# Credit is given back when a window divided by this has been read: a frame for each read would cost more.
_WINDOW_PARTS: Final = 4


class Outbound:
    """What a connection may send, and the credit that it gives for what it has read.

    `now` tells the time in seconds, from any start.
    """

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self.limits = limits
        self.out = bytearray()
        # The task that sends what is in `out`.
        self.writer: Wakeable = NOBODY
        # Streams whose senders wait for a window or for the transport, first come first served.
        self.blocked: dict[Stream, None] = {}
        self.encoder = HeaderEncoder(limits)
        self.floods = Floods(limits, now)
        self.send_window = frames.DEFAULT_WINDOW_BYTES
        self.receive_window: int = max(limits.connection_window_bytes, frames.DEFAULT_WINDOW_BYTES)
        self.peer_frame_bytes = frames.DEFAULT_FRAME_BYTES
        # Of unfinished messages, on all streams: bytes whose window the peer already has back.
        self.assembling_bytes: int = 0
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

    # Reading, which gives the peer its windows back.

    def take(self, stream: Stream, max_messages: int) -> list[bytes]:
        """Up to `max_messages` whole messages of what has arrived on `stream`, without waiting.

        Raises RpcError: RESOURCE_EXHAUSTED for a message that is too large, as it comes or inflated, or when
        unfinished messages take too many bytes on the connection; INTERNAL for a wrong compression.
        """
        inbound, limits = stream.inbound, self.limits
        if not inbound:
            return []
        messages, taken = cut_messages(inbound, max_messages, limits.max_message_bytes, gzip=stream.gzip)
        if taken == len(inbound):
            stream.inbound = bytearray()
        elif taken:
            del inbound[:taken]
        stream.bytes_received += taken
        self._credit_taken(stream, taken, waiting=not messages)
        if not messages and self.assembling_bytes > limits.max_assembling_bytes:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "too many large messages at once on one connection")
        return messages

    def _credit_taken(self, stream: Stream, taken: int, *, waiting: bool) -> None:
        """Credit `taken` bytes, and while a reader waits for the rest of a message, all that is here.

        A message may be longer than what is left of the window: without that credit it could never end.
        """
        known = stream.already_credited
        credit = max(0, taken - known)
        stream.already_credited = max(0, known - taken)
        if waiting:
            credit += len(stream.inbound) - stream.already_credited
            stream.already_credited = len(stream.inbound)
        assert stream.already_credited <= len(stream.inbound), "credit is for bytes that are here"
        self.assembling_bytes += stream.already_credited - known
        if credit:
            self.credit(stream, credit)

    def credit(self, stream: Stream, amount: int) -> None:
        """The application has read `amount` bytes of `stream`: let the peer send as many more."""
        self.credit_connection(amount)
        if stream.remote_ended or stream.error is not None:
            return
        stream.uncredited += amount
        if stream.uncredited >= self.limits.stream_window_bytes // _WINDOW_PARTS:
            stream.receive_window += stream.uncredited
            self.write(frames.window_update_frame(stream.id, stream.uncredited))
            stream.uncredited = 0

    def credit_connection(self, amount: int) -> None:
        """Give `amount` bytes of the connection's own window back to the peer."""
        self._uncredited += amount
        if self._uncredited >= self.limits.connection_window_bytes // _WINDOW_PARTS:
            self.receive_window += self._uncredited
            self.write(frames.window_update_frame(0, self._uncredited))
            self._uncredited = 0
