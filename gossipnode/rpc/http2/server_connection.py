"""The server's role on a connection: a client's header blocks open calls.

Pure state like its base. Must never start more calls at once than the limits allow.
"""

from collections.abc import Callable, Sequence
from typing import Final

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.head import Fields, Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import STREAM_BYTES, Connection, check_whole
from gossipnode.rpc.http2.headers import content_length
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes, OversizedHead, StreamFault
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.metadata import status_fields
from gossipnode.rpc.status import RpcError, Status

# What one field of a refusal counts against `Limits.max_control_bytes`, whatever its exact length.
_REFUSAL_FIELD_BYTES: Final = 32
# All streams of a connection, those whose handlers are being stopped included, per stream that may run.
_ENDING_STREAMS_FACTOR: Final = 2


class ServerConnection(Connection):
    """The server's end of a connection. `start_call` is told each new stream and the head of its request."""

    client = False

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        memory: MemoryAccount,
        start_call: Callable[[Stream, Head], None],
    ) -> None:
        super().__init__(limits, now, memory)
        # What is held for requests while they are handled.
        self.requests = memory.for_use("requests")
        self._start_call = start_call
        self._highest_refused_id = 0

    def knows(self, stream_id: int) -> bool:
        """A client's streams are odd, and seen in rising order.

        That of a request which came after our GOAWAY is known, too: what belongs to it may follow.
        """
        return stream_id & 1 == 1 and stream_id <= max(self.highest_peer_stream_id, self._highest_refused_id)

    def headers_malformed(self, stream_id: int) -> None:
        """A malformed request uses up its stream id all the same."""
        if stream_id & 1:
            self.highest_peer_stream_id = max(self.highest_peer_stream_id, stream_id)

    def headers_oversized(self, stream_id: int, fault: OversizedHead, *, end: bool) -> None:
        """Answer a request whose metadata is too large on its own stream; it starts no call."""
        if self._opens(stream_id):
            self.floods.idle_frame()
            stream = self.new_stream(stream_id)
            stream.remote_ended = end
            self.refuse(stream, *status_fields(Status.RESOURCE_EXHAUSTED, str(fault), False))
        elif stream_id in self.streams:
            raise fault
        else:
            self.floods.idle_frame()

    def headers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        """Take the head of a new call, or the trailers of a running one."""
        if stream_id <= self.highest_peer_stream_id:
            self._trailers_received(stream_id, head, end=end)
            return
        if not self._opens(stream_id):
            return
        pseudo, body_bytes = head.pseudo, content_length(head)
        if (
            not (pseudo.get(":method") and pseudo.get(":scheme") and pseudo.get(":path"))
            or ":status" in pseudo
        ):
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "not a request")
        if end and body_bytes:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a request without the body that it announces")
        self.floods.work_done()
        stream = self.new_stream(stream_id)
        stream.head = head
        stream.body_left = body_bytes
        stream.remote_ended = end
        self._start_call(stream, head)
        self.crowded = len(self.streams) > self.limits.max_streams_per_connection

    def _opens(self, stream_id: int) -> bool:
        """Whether a header block on `stream_id` may open it now. Raises as `headers_received` does."""
        if stream_id <= self.highest_peer_stream_id:
            return False
        if not stream_id & 1:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"a client cannot open stream {stream_id}")
        if self.draining or self.closing:
            self.floods.idle_frame()
            self.write(frames.reset_frame(stream_id, ErrorCodes.REFUSED_STREAM))
            self._highest_refused_id = max(self._highest_refused_id, stream_id)
            return False  # the stream is above the last one of our GOAWAY, which must not move
        self.highest_peer_stream_id = stream_id
        if not self._has_place:
            raise StreamFault(ErrorCodes.REFUSED_STREAM, "too many streams")
        if not self.memory.fits(STREAM_BYTES):
            raise StreamFault(ErrorCodes.REFUSED_STREAM, "no memory for one more stream")
        return True

    @property
    def _has_place(self) -> bool:
        """Whether another call may start.

        The peer may open a stream as soon as it has reset another one, whose handler has still to hear of
        that. So streams that have failed take no place, until there are as many of them again.
        """
        limit = self.limits.max_streams_per_connection
        if len(self.streams) < limit:
            return True
        running = len(self.streams) - self.failed_streams
        return running < limit and len(self.streams) < limit * _ENDING_STREAMS_FACTOR

    def _trailers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is None and head.pseudo:
            # Not late trailers, but a request: its stream is over, or was passed over (RFC 9113, 5.1.1).
            closed = self.peer_ended(stream_id, stream)
            code = ErrorCodes.STREAM_CLOSED if closed else ErrorCodes.PROTOCOL_ERROR
            raise ConnectionFault(code, f"stream {stream_id} cannot be opened any more")
        if stream is None or stream.remote_ended:
            self.check_not_closed(stream_id, stream)
            self.floods.idle_frame()
            return
        if not end or head.pseudo:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a second header block that is no trailers")
        check_whole(stream)
        self.floods.work_done()
        stream.trailers = head
        stream.remote_ended = True
        stream.reader.wake()

    def over_share(self, stream: Stream, error: RpcError) -> None:
        """Stop the call, and answer it with `error`."""
        stream.end_with(error)

    def refuse(self, stream: Stream, fields: Fields, once: Sequence[tuple[str, str]] = ()) -> None:
        """Answer a call with header fields alone."""
        self.floods.reply(len(fields) * _REFUSAL_FIELD_BYTES, len(self.out))
        self.write_headers(stream, fields, list(once), end=True)
        self.finish(stream)
