"""The frames that carry no call: SETTINGS, PING, GOAWAY, WINDOW_UPDATE, PRIORITY (RFC 9113, 6).

Pure state like its base. Each of these frames counts as one that asks for no work, and what it costs is
bounded by its size, whatever it says.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes, StreamFault
from gossipnode.rpc.http2.outbound import Outbound
from gossipnode.rpc.http2.peer_settings import read_settings
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits

# What a peer says when it closes is cut off here: it goes into an error message.
_MAX_GOAWAY_TEXT_BYTES: Final = 192


class ControlFrames(Outbound, ABC):
    """The state that control frames change, of the connection and of its streams.

    `now` tells the time in seconds, from any start.
    """

    client: bool

    def __init__(self, limits: Limits, now: Callable[[], float], memory: MemoryAccount) -> None:
        super().__init__(limits, now, memory)
        self.streams: dict[int, Stream] = {}
        self.settings_received = False
        #: Why a server did not speak HTTP/2 with us at all, as far as it said so.
        self.refusal = ""
        self.peer_max_streams = frames.LAST_STREAM_ID
        self.peer_stream_window = frames.DEFAULT_WINDOW_BYTES
        self.control_handlers: dict[int, Callable[[int, int, bytes], None]] = {
            frames.PRIORITY: self._on_priority,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_push_promise,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
        }

    # What a role decides.

    @abstractmethod
    def knows(self, stream_id: int) -> bool:
        """Whether either side has ever opened stream `stream_id`."""

    def stream_finished(self) -> None:
        """A stream was forgotten, or the peer allows another number of streams."""

    def goaway_received(self, last_stream_id: int, code: int, text: str) -> None:
        """The peer opens no more streams, and processes no stream above `last_stream_id`."""

    # Input.

    def _on_priority(self, stream_id: int, flags: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != frames.PRIORITY_BYTES:
            raise StreamFault(ErrorCodes.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        self.floods.idle_frame()

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % frames.SETTING.size or (flags & frames.ACK and payload):
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self.floods.idle_frame()
        self.settings_received = True
        if flags & frames.ACK:
            return
        self._apply_settings(payload)
        self._reply(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _apply_settings(self, payload: bytes) -> None:
        settings = read_settings(payload, from_server=self.client)
        if settings.max_frame_bytes is not None:
            self.peer_frame_bytes = min(settings.max_frame_bytes, self.limits.max_frame_bytes)
        if settings.table_bytes is not None and settings.smallest_table_bytes is not None:
            self.encoder.resize(settings.smallest_table_bytes, settings.table_bytes)
        if settings.initial_window_bytes is not None:
            self._move_windows(settings.initial_window_bytes)
        if settings.max_streams is not None:
            self.peer_max_streams = settings.max_streams
            self.stream_finished()

    def _move_windows(self, initial_window_bytes: int) -> None:
        """The peer begins each stream with another window, and moves those of the running ones with it."""
        change = initial_window_bytes - self.peer_stream_window
        if not change:
            return
        self.peer_stream_window = initial_window_bytes
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > frames.LARGEST_WINDOW_BYTES:
                raise ConnectionFault(ErrorCodes.FLOW_CONTROL_ERROR, "window above its largest size")
        if change > 0:
            self.wake_blocked()

    def _on_push_promise(self, stream_id: int, flags: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PUSH_PROMISE was not allowed")

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != frames.PING_BYTES:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "PING of a wrong size")
        self.floods.idle_frame()
        if not flags & frames.ACK:
            self._reply(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _reply(self, data: bytes) -> None:
        """Answer a control frame. Answers that the peer never reads must not pile up, so they are counted."""
        self.floods.reply(len(data), len(self.out))
        self.write(data)

    def _on_goaway(self, stream_id: int, flags: int, payload: bytes) -> None:
        fields = frames.GOAWAY_FIELDS
        if stream_id:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < fields.size:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self.floods.idle_frame()
        last, code = fields.unpack_from(payload)
        text = payload[fields.size : fields.size + _MAX_GOAWAY_TEXT_BYTES].decode("utf-8", "replace")
        self.goaway_received(last & frames.LAST_STREAM_ID, code, text)

    def _on_window_update(self, stream_id: int, flags: int, payload: bytes) -> None:
        if len(payload) != frames.WINDOW_UPDATE_BYTES:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self.floods.idle_frame()
        amount = frames.U32.unpack(payload)[0] & frames.LARGEST_WINDOW_BYTES
        stream = self.streams.get(stream_id) if stream_id else None
        if stream_id and stream is None:
            if not self.knows(stream_id):
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream never opened")
            return
        fault = StreamFault if stream else ConnectionFault
        if not amount:
            raise fault(ErrorCodes.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        if stream is not None:
            stream.send_window += amount
        else:
            self.send_window += amount
        if (stream.send_window if stream else self.send_window) > frames.LARGEST_WINDOW_BYTES:
            raise fault(ErrorCodes.FLOW_CONTROL_ERROR, "window above its largest size")
        if stream is None:
            self.wake_blocked()
        else:
            stream.sender.wake()
