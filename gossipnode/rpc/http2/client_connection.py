"""The client's role on a connection: it opens streams, and the server's header blocks answer them.

Pure state like its base. Must never open more streams than the server allows.
"""

from collections.abc import Callable

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.rpc.head import Fields, Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import Connection, check_whole
from gossipnode.rpc.http2.headers import content_length
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes, StreamFault
from gossipnode.rpc.http2.stream import Stream, Wakeable
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import SPEAKS_TLS, RpcError, Status, http_error


class ClientConnection(Connection):
    """The client's end of a connection."""

    client = True

    def __init__(self, limits: Limits, now: Callable[[], float], memory: MemoryAccount) -> None:
        super().__init__(limits, now, memory)
        self._next_stream_id = 1
        # Tasks that wait for a place to open a stream, first come first served.
        self.openers: dict[Wakeable, None] = {}

    @property
    def usable(self) -> bool:
        """Whether new calls may begin here."""
        return not (self.closing or self.draining) and self._next_stream_id < frames.LAST_STREAM_ID

    @property
    def has_place(self) -> bool:
        """Whether a stream may be opened now: the server allows one more, and the transport has room."""
        return len(self.streams) < self.peer_max_streams and not self.full

    def receive(self, data: bytes) -> None:
        """Take bytes from the server, as `Connection.receive` does. The first may say that it speaks TLS."""
        if not self.settings_received and data.startswith(frames.TLS_ALERT_BEGIN):
            self.refusal = SPEAKS_TLS
            self.goaway_received(0, ErrorCodes.INADEQUATE_SECURITY, SPEAKS_TLS)
            raise ConnectionFault(ErrorCodes.INADEQUATE_SECURITY, SPEAKS_TLS)
        super().receive(data)

    def knows(self, stream_id: int) -> bool:
        """Our streams are odd, and opened in rising order; the server may open none."""
        return stream_id & 1 == 1 and stream_id < self._next_stream_id

    def open(self, fields: Fields, once: list[tuple[str, str]]) -> Stream:
        """Open a stream with a request's header block. The connection must be usable and have a place."""
        assert self.usable, "no stream is opened on a connection that ends"
        stream = self.new_stream(self._next_stream_id)
        self._next_stream_id += 2
        self.write_headers(stream, fields, once)
        return stream

    def stream_finished(self) -> None:
        """A place is free: wake the first task that waits for one."""
        if self.openers:
            opener = next(iter(self.openers))
            del self.openers[opener]
            opener.wake()

    def _wake_openers(self) -> None:
        openers, self.openers = self.openers, {}
        for opener in openers:
            opener.wake()

    def written(self) -> None:
        """The transport has room, which also lets tasks open streams."""
        super().written()
        if self.openers and not self.full:
            self._wake_openers()

    def fail_streams(self, error: RpcError) -> None:
        """End every running stream with `error`, and wake the tasks that wait to open one."""
        super().fail_streams(error)
        self._wake_openers()

    def headers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        """Take the response's head, its trailers, or both in one."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if not self.knows(stream_id):
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
            self.check_not_closed(stream_id, stream)
            self.floods.idle_frame()
            return
        if stream.remote_ended:
            self.check_not_closed(stream_id, stream)
            self.floods.idle_frame()
            return
        if stream.head is None:
            self._response_received(stream, head, end=end)
        elif not end or head.pseudo:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a second header block that is no trailers")
        if end:
            check_whole(stream)
            self.floods.work_done()
            stream.trailers = head
            stream.remote_ended = True
            stream.sender.wake()
        stream.reader.wake()

    def _response_received(self, stream: Stream, head: Head, *, end: bool) -> None:
        http_status = head.pseudo.get(":status", "")
        if not http_status or len(head.pseudo) > 1:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "not a response")
        if http_status.startswith("1") and not end:
            self.floods.idle_frame()
            return  # an informational response: the real one is still to come
        self.floods.work_done()
        stream.head = head
        stream.body_left = content_length(head)
        if http_status != "200":
            self.fail(stream, http_error(http_status))
        elif not head.fields.get("content-type", "").startswith("application/grpc"):
            self.fail(stream, RpcError(Status.UNKNOWN, "the peer's answer is not gRPC"))

    def over_share(self, stream: Stream, error: RpcError) -> None:
        """Give up the call, whose answer is too much."""
        self.reset(stream, ErrorCodes.CANCEL)
        self.fail(stream, error)

    def goaway_received(self, last_stream_id: int, code: int, text: str) -> None:
        """End the streams that the server will not process, as never processed; the others go on."""
        self.draining = True
        reason = f"the server is closing the connection{': ' if text else ''}{text}"
        for stream in list(self.streams.values()):
            if stream.id > last_stream_id:
                stream.local_ended = stream.remote_ended = True
                self.fail(stream, RpcError(Status.UNAVAILABLE, reason, never_processed=True))
        if not self.streams:
            self.close()
        self._wake_openers()
