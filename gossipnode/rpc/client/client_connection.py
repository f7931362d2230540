"""The client's role on a connection: opening streams, and what a server's header blocks mean.

Pure state like its base. Must never open more streams than the server allows.
"""

import trio

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import Connection
from gossipnode.rpc.http2.headers import Fields, Head
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import (
    ConnectionFault,
    ErrorCodes,
    RpcError,
    Status,
    StreamFault,
    http_error,
)


class ClientConnection(Connection):
    """The client's role: we open the streams, header blocks answer them."""

    client = True

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._next_stream_id = 1
        self._slots = trio.lowlevel.ParkingLot()

    @property
    def usable(self) -> bool:
        """Whether new calls may begin here."""
        return not (self.closing or self.draining) and self._next_stream_id < frames.LAST_STREAM_ID

    def knows(self, stream_id: int) -> bool:
        """Our streams are odd, and opened in rising order; the server may open none."""
        return stream_id & 1 == 1 and stream_id < self._next_stream_id

    async def open(self, fields: Fields, once: list[tuple[str, str]]) -> Stream:
        """Open a stream with a request's header block, waiting for a free place.

        Raises RpcError UNAVAILABLE, never processed, if the connection ended before it could.
        """
        while self.usable and (len(self.streams) >= self.peer_max_streams or self.full):
            await self._slots.park()
        if not self.usable:
            raise RpcError(Status.UNAVAILABLE, "the connection was closed", never_processed=True)
        stream = self.new_stream(self._next_stream_id)
        self._next_stream_id += 2
        self.write_headers(stream, fields, once)
        return stream

    def stream_finished(self) -> None:
        """A place is free."""
        self._slots.unpark()

    def written(self) -> None:
        """The transport has room."""
        super().written()
        if self._slots and not self.full:
            self._slots.unpark_all()

    def fail_streams(self, error: RpcError) -> None:
        """Also those that wait for a place."""
        super().fail_streams(error)
        self._slots.unpark_all()

    def headers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        """The response's head, its trailers, or both in one."""
        stream = self.streams.get(stream_id)
        if stream is None:
            if not self.knows(stream_id):
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
            self.floods.idle_frame()
            return
        if stream.remote_ended:
            self.floods.idle_frame()
            return
        if stream.head is None:
            self._response_received(stream, head, end=end)
        elif not end or head.pseudo:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a second header block that is no trailers")
        if end:
            stream.trailers = head
            stream.remote_ended = True
            stream.sender.wake()
        stream.reader.wake()

    def _response_received(self, stream: Stream, head: Head, *, end: bool) -> None:
        http_status = head.pseudo.get(":status", "")
        if http_status.startswith("1") and not end:
            return  # informational, the response is still to come
        stream.head = head
        if http_status != "200":
            stream.fail(http_error(http_status))
        elif not head.fields.get("content-type", "").startswith("application/grpc"):
            stream.fail(RpcError(Status.UNKNOWN, "the peer's answer is not gRPC"))

    def goaway_received(self, last_stream_id: int, code: int, text: str) -> None:
        """Streams the server will not process fail as such; the others go on."""
        self.draining = True
        reason = f"the server is closing the connection{': ' if text else ''}{text}"
        for stream in list(self.streams.values()):
            if stream.id > last_stream_id:
                stream.local_ended = stream.remote_ended = True
                stream.fail(RpcError(Status.UNAVAILABLE, reason, never_processed=True))
        if not self.streams:
            self.close()
        self._slots.unpark_all()
