"""One HTTP/2 connection as a pure object: bytes in, state and bytes out (RFC 9113).

It does no I/O, starts no task and reads no clock: `driver.drive` moves the bytes, and time is handed in.
Whatever a peer sends can end no more than its own connection, with one ConnectionFault or StreamFault. Why h2
is not used for this: DESIGN.md.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

from h2.settings import SettingCodes

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.control_frames import ControlFrames
from gossipnode.rpc.http2.headers import HeaderDecoder, UnfinishedBlock
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes, OversizedHead, StreamFault
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import RpcError, Status, reset_error

# What a connection and a stream take besides the bytes that are counted: their objects and tasks.
CONNECTION_BYTES: Final = 32 << 10
STREAM_BYTES: Final = 8 << 10
# Of the streams that the peer has ended, how many are remembered after the call is over. A frame on an older
# one is ignored.
_REMEMBERED_ENDS: Final = 64


class Connection(ControlFrames):
    """The state common to both roles. A subclass says what a peer's header block means.

    `now` tells the time in seconds, from any start. `memory` is the account of the peer for this connection.
    """

    def __init__(self, limits: Limits, now: Callable[[], float], memory: MemoryAccount) -> None:
        super().__init__(limits, now, memory)
        memory.take(CONNECTION_BYTES)
        self.closing = False
        self.draining = False
        # Whether input waits until handlers that are being stopped have ended; see `resume`.
        self.crowded = False
        self.idle_since = now()
        self.on_closing: Callable[[], None] = lambda: None
        self.highest_peer_stream_id = 0
        self._now = now
        self._decoder = HeaderDecoder(limits, memory)
        self._inbound = b""
        self._ended_by_peer: deque[int] = deque(maxlen=_REMEMBERED_ENDS)
        self._preface_left = b"" if self.client else frames.PREFACE
        self._block: UnfinishedBlock | None = None
        self._dispatch: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.RST_STREAM: self._on_reset,
            frames.CONTINUATION: self._on_continuation,
            **self.control_handlers,
        }

    # What a role decides.

    @abstractmethod
    def headers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        """Take a whole header block of stream `stream_id`. Raises ConnectionFault or StreamFault."""

    # The beginning.

    def start(self) -> None:
        """Queue what each side sends first: SETTINGS, and credit for a window larger than the default."""
        limits = self.limits
        settings: dict[int, int] = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: self.first_window_bytes,
            SettingCodes.MAX_FRAME_SIZE: limits.max_frame_bytes,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_streams_per_connection,
        }
        if not self.client:
            del settings[SettingCodes.ENABLE_PUSH]  # a server never sends this one (RFC 9113, 6.5.2)
        self.write((frames.PREFACE if self.client else b"") + frames.settings_frame(settings))
        if (extra := self.receive_window - frames.DEFAULT_WINDOW_BYTES) > 0:
            self.write(frames.window_update_frame(0, extra))

    def new_stream(self, stream_id: int) -> Stream:
        """Track a stream that one side just opened."""
        stream = Stream(stream_id, self.peer_stream_window, self.first_window_bytes, at_client=self.client)
        self.streams[stream_id] = stream
        self.memory.take(STREAM_BYTES)
        if self.memory.expect_first_window(self.first_window_bytes):
            stream.expected = self.first_window_bytes
        self.floods.stream_opened()
        return stream

    def finish(self, stream: Stream) -> None:
        """The application is done with `stream`: tell the peer if it does not know, and forget it."""
        if not stream.local_ended:
            self.reset(stream, ErrorCodes.CANCEL)
        elif not stream.remote_ended:
            # The answer is whole, and the rest of the request is not wanted (RFC 9113, 8.1).
            self.reset(stream, ErrorCodes.CANCEL if self.client else ErrorCodes.NO_ERROR)
        if self.streams.pop(stream.id, None) is None:
            return
        if stream.error is not None:
            self.failed_streams -= 1
        if stream.remote_ended and not stream.cut_off:
            self._ended_by_peer.append(stream.id)
        self.drop_unread(stream)
        self.memory.give_back(stream.handed)
        stream.handed = 0
        self.promise(stream, 0)
        self.expect_no_more(stream)
        self.starves_no_more(stream)
        self.memory.give_back(STREAM_BYTES)
        if not self.streams:
            self.idle_since = self._now()
            if self.draining:
                self.close()
        self.stream_finished()

    def drop_unread(self, stream: Stream) -> None:
        """Forget what the peer has sent on `stream` and nobody has read."""
        self.memory.give_back(len(stream.inbound))
        stream.inbound = bytearray()

    # The end.

    def close(self, code: ErrorCodes = ErrorCodes.NO_ERROR, text: str = "") -> None:
        """Queue GOAWAY, and let the driver close the connection once it is written. Running streams fail."""
        if self.closing:
            return
        self.write(frames.goaway_frame(self.highest_peer_stream_id, code, text))
        self.closing = True
        self.fail_streams(RpcError(Status.UNAVAILABLE, text or "the connection was closed"))
        self.on_closing()
        self.writer.wake()

    def drain(self) -> None:
        """Queue GOAWAY: running streams go on, new ones are refused, and the last one to end closes."""
        if self.draining or self.closing:
            return
        self.draining = True
        self.write(frames.goaway_frame(self.highest_peer_stream_id, ErrorCodes.NO_ERROR))
        if not self.streams:
            self.close()

    def fail_streams(self, error: RpcError) -> None:
        """End every running stream with `error`."""
        for stream in list(self.streams.values()):
            stream.local_ended = stream.remote_ended = True
            self.fail(stream, error)

    # Input.

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer. Raises ConnectionFault, with which the caller must then call `close`.

        While the connection is `crowded` afterwards, the caller lets other tasks run and calls `resume`.
        """
        if self._preface_left:
            data = self._check_preface(data)
        if self._inbound:
            data = self._inbound + data  # it holds no more than the beginning of one frame
        at, end = 0, len(data)
        unpack, dispatch, largest = (
            frames.FRAME_HEADER.unpack_from,
            self._dispatch,
            self.limits.max_frame_bytes,
        )
        while end - at >= frames.FRAME_HEADER_BYTES and not self.crowded:
            high, low, kind, flags, stream_id = unpack(data, at)
            size = (high << 8) | low
            if size > max(largest, frames.DEFAULT_FRAME_BYTES):
                raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, f"frame of {size} bytes")
            start = at + frames.FRAME_HEADER_BYTES
            if end - start < size:
                break
            at = start + size
            if self._block is not None and kind != frames.CONTINUATION:
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "a header block was interrupted")
            if not self.settings_received and kind != frames.SETTINGS:
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            handler = dispatch.get(kind)
            if handler is None:
                self.floods.idle_frame()  # unknown types are ignored (RFC 9113, 4.1)
                continue
            stream_id &= frames.LAST_STREAM_ID
            try:
                handler(stream_id, flags, data[start:at])
            except StreamFault as fault:
                self._fail_stream(stream_id, fault)
        self._inbound = data[at:]

    def resume(self) -> None:
        """Go on with input that was left because the connection was crowded. Raises as `receive` does."""
        self.crowded = False
        self.receive(b"")

    def _check_preface(self, data: bytes) -> bytes:
        expected = self._preface_left
        common = min(len(expected), len(data))
        if data[:common] != expected[:common]:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "not an HTTP/2 client")
        self._preface_left = expected[common:]
        return data[common:]

    def _fail_stream(self, stream_id: int, fault: StreamFault) -> None:
        """Reset one stream because of the peer's fault, and count it as a reset that the peer made."""
        self.floods.reset()
        stream = self.streams.get(stream_id)
        if stream is None or (stream.error is not None and fault.code is ErrorCodes.STREAM_CLOSED):
            self.write(frames.reset_frame(stream_id, fault.code))
        elif stream.error is None:
            self.reset(stream, fault.code)
            status = Status.RESOURCE_EXHAUSTED if isinstance(fault, OversizedHead) else Status.INTERNAL
            self.fail(stream, RpcError(status, str(fault)))

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        self.receive_window -= size
        if self.receive_window < 0:
            raise ConnectionFault(ErrorCodes.FLOW_CONTROL_ERROR, "the connection's window was exceeded")
        if size:
            self.credit_connection(size)
        stream = self.streams.get(stream_id)
        if stream is None or stream.error is not None or stream.remote_ended:
            self._on_late_data(stream_id, stream, size)
            return
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(ErrorCodes.FLOW_CONTROL_ERROR, "the stream's window was exceeded")
        if flags & frames.PADDED:
            payload = _unpad(payload)
        if stream.body_left is not None or stream.head is None:
            self._check_body(stream, len(payload), end=bool(flags & frames.END_STREAM))
        if payload:
            self.floods.work_done()
            self._keep_data(stream, payload)
        elif not flags & frames.END_STREAM:
            self.floods.idle_frame()
        if flags & frames.END_STREAM:
            stream.remote_ended = True
        stream.reader.wake()

    def _keep_data(self, stream: Stream, payload: bytes) -> None:
        """Keep DATA until it is read, if the caller's share of the memory has room for it."""
        size, memory = len(payload), self.memory
        promised = stream.promised or stream.expected
        if not (memory.fits(size) or (promised and memory.fits_promise(size))):
            self.drop_unread(stream)
            text = f"{self.memory.caller.name} has sent more than its share of the memory: send less at once"
            self.over_share(stream, RpcError(Status.RESOURCE_EXHAUSTED, text))
        elif stream.ending is None:
            memory.take(size)
            stream.inbound += payload

    @abstractmethod
    def over_share(self, stream: Stream, error: RpcError) -> None:
        """End `stream` with `error`: there is no memory for what the peer sends on it."""

    def _check_body(self, stream: Stream, size: int, *, end: bool) -> None:
        """Refuse DATA of `size` bytes before any head, or against its content-length (RFC 9113, 8.1.1)."""
        wrong = stream.head is None
        if stream.body_left is not None:
            stream.body_left -= size
            wrong = stream.body_left < 0 or (end and stream.body_left > 0)
        if wrong:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "DATA without a head, or against its content-length")

    def peer_ended(self, stream_id: int, stream: Stream | None) -> bool:
        """Whether the peer itself has ended a stream, which is `stream` if its call still runs.

        If this end did, then what the peer sent before it knew is no fault.
        """
        if stream is None:
            return stream_id in self._ended_by_peer
        return stream.remote_ended and not stream.cut_off

    def check_not_closed(self, stream_id: int, stream: Stream | None) -> None:
        """Raise StreamFault for DATA or HEADERS on a stream that the peer has ended (RFC 9113, 5.1)."""
        if self.peer_ended(stream_id, stream):
            raise StreamFault(ErrorCodes.STREAM_CLOSED, "a frame on a stream that the peer had ended")

    def _on_late_data(self, stream_id: int, stream: Stream | None, size: int) -> None:
        """Take DATA for a stream that has ended. What was on its way when we ended the stream is no fault.

        A peer that fills its window with small frames may have thousands of them on their way, so DATA counts
        as a frame that asks for nothing only if it is empty. Every other one has paid with its bytes.
        """
        if stream is None and not self.knows(stream_id):
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"DATA on stream {stream_id}, which is not open")
        self.check_not_closed(stream_id, stream)
        if not size:
            self.floods.idle_frame()

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "HEADERS on stream 0")
        if flags & frames.PADDED:
            payload = _unpad(payload)
        if flags & frames.PRIORITY_FLAG:
            if len(payload) < frames.PRIORITY_BYTES:
                raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "HEADERS without its priority fields")
            payload = payload[frames.PRIORITY_BYTES :]
        ends_stream = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, payload, ends_stream)
            return
        self._block = UnfinishedBlock(stream_id, bytearray(payload), ends_stream)

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        block = self._block
        if block is None or stream_id != block.stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.add(payload, self.limits)
        if flags & frames.END_HEADERS:
            self._block = None
            self._on_block(stream_id, bytes(block.data), block.ends_stream)

    def _on_block(self, stream_id: int, block: bytes, ends_stream: bool) -> None:
        if len(block) > self.limits.max_header_block_bytes:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, f"header block of {len(block)} bytes")
        try:
            head = self._decoder.decode(block)
        except OversizedHead as fault:
            self.headers_oversized(stream_id, fault, end=ends_stream)
            return
        except StreamFault:
            self.headers_malformed(stream_id)
            raise
        self.headers_received(stream_id, head, end=ends_stream)

    def headers_malformed(self, stream_id: int) -> None:
        """A header block was decoded but is malformed; the stream is about to be reset."""

    def headers_oversized(self, stream_id: int, fault: OversizedHead, *, end: bool) -> None:
        """A header block was decoded but is too large: the stream ends, and the connection goes on."""
        self.headers_malformed(stream_id)
        raise fault

    def _on_reset(self, stream_id: int, flags: int, payload: bytes) -> None:
        if len(payload) != frames.RST_STREAM_BYTES:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        stream = self.streams.get(stream_id)
        if stream is None:
            if not self.knows(stream_id):
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "RST_STREAM on a stream never opened")
            self.floods.idle_frame()
            return
        if not self.client:
            self.floods.reset()
        answered = self.client and stream.remote_ended
        stream.local_ended = stream.remote_ended = True
        if answered:
            return  # the answer is whole: the server only says that it wants no more of the request
        self.fail(stream, reset_error(frames.U32.unpack(payload)[0]))


def check_whole(stream: Stream) -> None:
    """Raise StreamFault if the body, which trailers have ended, is not as long as its content-length."""
    if stream.body_left:
        raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "the body is not as long as its content-length")


def _unpad(payload: bytes) -> bytes:
    if not payload:
        raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "padding without its length")
    padding = payload[0]
    if len(payload) < 1 + padding:
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - padding]
