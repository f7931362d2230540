"""The sending half of an HTTP/2 connection: queued bytes, both directions' windows, who waits for room.

Pure state. Only whole frames are queued, so that the transport may stop between any two writes. Must never
queue DATA beyond the peer's windows or the write buffer.
"""

from gossipnode.concurrency.waker import Waker
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.floods import Floods
from gossipnode.rpc.http2.headers import Fields, HeaderEncoder
from gossipnode.rpc.http2.reply_budget import ReplyBudget
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import ErrorCodes


class Outbound:
    """What a connection may send, and the credit it gives for what it has read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.out = bytearray()
        self.writer = Waker()
        self.blocked: dict[Stream, None] = {}
        self.encoder = HeaderEncoder(limits)
        self.floods = Floods(limits)
        self.send_window = frames.DEFAULT_WINDOW_BYTES
        self.receive_window: int = max(limits.connection_window_bytes, frames.DEFAULT_WINDOW_BYTES)
        self.peer_frame_bytes = frames.DEFAULT_FRAME_BYTES
        # Of unfinished messages, on all streams: bytes whose window the peer already has back.
        self.assembling_bytes: int = 0
        self.replies = ReplyBudget(limits.max_unsent_reply_bytes)
        self._uncredited = 0

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
        """Queue a header block on `stream`."""
        stream.headers_sent = True
        stream.local_ended = end
        self.write(
            frames.headers_frames(stream.id, self.encoder.encode(fields, once), end, self.peer_frame_bytes)
        )

    def write_data(self, stream: Stream, data: bytes, sent: int, *, end: bool) -> int:
        """Queue as much of `data[sent:]` as windows and write buffer allow; return how much now is sent."""
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
        """The transport took what was queued: those that wait for room may try again."""
        if self.blocked and not self.full:
            self.wake_blocked()

    def wake_blocked(self) -> None:
        """Wake each sender that waits for a window or for the transport, first come first served."""
        for stream in list(self.blocked):
            stream.sender.wake()

    def reset(self, stream: Stream, code: ErrorCodes) -> None:
        """Queue RST_STREAM; from here on the peer's frames on the stream are dropped."""
        stream.local_ended = stream.remote_ended = True
        self.write(frames.reset_frame(stream.id, code))

    def credit(self, stream: Stream, amount: int) -> None:
        """The application has read `amount` bytes of `stream`: let the peer send as many more."""
        self.credit_connection(amount)
        if stream.remote_ended or stream.error is not None:
            return
        stream.uncredited += amount
        if stream.uncredited >= self.limits.stream_window_bytes // 4:
            stream.receive_window += stream.uncredited
            self.write(frames.window_update_frame(stream.id, stream.uncredited))
            stream.uncredited = 0

    def credit_connection(self, amount: int) -> None:
        """As `credit`, for bytes of no living stream."""
        self._uncredited += amount
        if self._uncredited >= self.limits.connection_window_bytes // 4:
            self.receive_window += self._uncredited
            self.write(frames.window_update_frame(0, self._uncredited))
            self._uncredited = 0
