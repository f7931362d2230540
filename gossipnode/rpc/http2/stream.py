"""One HTTP/2 stream, for either side: what arrived and is unread, what may be sent, and how it ended.

Bytes stay as they came until somebody asks for messages, and only then does the peer get its window back:
that is the whole of the backpressure. Must never buffer more than a window and one message.
"""

from typing import TYPE_CHECKING

import trio

from gossipnode.concurrency.waker import Waker
from gossipnode.rpc.http2.frames import MESSAGE_PREFIX, MESSAGE_PREFIX_BYTES
from gossipnode.rpc.http2.headers import Head
from gossipnode.rpc.metadata import status_error
from gossipnode.rpc.status import NO_METADATA, ErrorCodes, Metadata, RpcError, Status

if TYPE_CHECKING:
    from gossipnode.rpc.http2.connection import Connection


class Stream:
    """The state of one stream. One task may receive and another may send at the same time."""

    __slots__ = (
        "already_credited",
        "bytes_received",
        "bytes_sent",
        "connection",
        "error",
        "head",
        "headers_sent",
        "id",
        "inbound",
        "local_ended",
        "reader",
        "receive_window",
        "remote_ended",
        "scope",
        "send_window",
        "sender",
        "sending",
        "trailers",
        "uncredited",
    )

    def __init__(
        self, connection: "Connection", stream_id: int, send_window: int, receive_window: int
    ) -> None:
        self.connection = connection
        self.id = stream_id
        self.head: Head | None = None
        self.trailers: Head | None = None
        self.inbound = bytearray()
        # Of the unread bytes, those of an unfinished message whose window the peer already has back.
        self.already_credited = 0
        # Bytes that were read, but for which no WINDOW_UPDATE was sent yet.
        self.uncredited = 0
        self.receive_window = receive_window
        self.send_window = send_window
        self.remote_ended = False
        self.local_ended = False
        self.headers_sent = False
        self.error: RpcError | None = None
        self.reader = Waker()
        self.sender = Waker()
        self.sending = False
        self.scope: trio.CancelScope | None = None
        self.bytes_sent = 0
        self.bytes_received = 0

    @property
    def initial_metadata(self) -> Metadata:
        """The metadata of the peer's first header block; empty before it came."""
        return self.head.metadata if self.head is not None else NO_METADATA

    @property
    def trailing_metadata(self) -> Metadata:
        """The metadata of the peer's trailers; empty before they came."""
        return self.trailers.metadata if self.trailers is not None else NO_METADATA

    def take(self, max_messages: int) -> list[bytes]:
        """Up to `max_messages` whole messages of what has arrived, without waiting.

        Raises RpcError: RESOURCE_EXHAUSTED for a message that announces too many bytes, or one too many that
        is unfinished on this connection, UNIMPLEMENTED for a compressed one.
        """
        buffer, at, messages = self.inbound, 0, list[bytes]()
        end = len(buffer)
        if not end:
            return messages
        with memoryview(buffer) as view:
            while end - at >= MESSAGE_PREFIX_BYTES and len(messages) < max_messages:
                compressed, size = MESSAGE_PREFIX.unpack_from(buffer, at)
                if compressed or size > self.connection.limits.max_message_bytes:
                    if messages:
                        break  # what came before the bad one is good
                    raise self._refusal(compressed, size)
                start = at + MESSAGE_PREFIX_BYTES
                if end - start < size:
                    break
                at = start + size
                messages.append(bytes(view[start:at]))
        if at == end:
            self.inbound = bytearray()
        elif at:
            del buffer[:at]
        self.bytes_received += at
        self._credit(at, waiting=not messages)
        if not messages and self.connection.assembling_bytes > self.connection.limits.max_assembling_bytes:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "too many large messages at once on one connection")
        return messages

    def _refusal(self, compressed: int, size: int) -> RpcError:
        if compressed:
            return RpcError(Status.UNIMPLEMENTED, "compressed messages are not supported")
        limit = self.connection.limits.max_message_bytes
        return RpcError(Status.RESOURCE_EXHAUSTED, f"message of {size} bytes exceeds the limit of {limit}")

    def _credit(self, taken: int, *, waiting: bool) -> None:
        """Give the peer its window back for `taken` bytes, or for all that is here while a reader waits.

        A message may be longer than what is left of the window: without the second it could never end.
        """
        known = self.already_credited
        credit = max(0, taken - known)
        self.already_credited = max(0, known - taken)
        if waiting:
            credit += len(self.inbound) - self.already_credited
            self.already_credited = len(self.inbound)
        self.connection.assembling_bytes += self.already_credited - known
        if credit:
            self.connection.credit(self, credit)

    async def receive(self, max_messages: int) -> list[bytes]:
        """Wait for at least one message and return up to `max_messages`; [] when the peer ended well.

        Raises RpcError with the status of the call if it ended otherwise.
        """
        while True:
            if messages := self.take(max_messages):
                return messages
            if self.error is not None:
                raise self.error
            if self.remote_ended:
                self._check_end()
                return messages
            await self.reader.sleep()

    def _check_end(self) -> None:
        if self.trailers is not None and self.connection.client:
            if (error := status_error(self.trailers)) is not None:
                raise error
        elif self.connection.client:
            raise RpcError(Status.UNKNOWN, "the peer ended the call without a status")
        if self.inbound:
            raise RpcError(Status.INTERNAL, "the stream ended in the middle of a message")

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send `data`, waiting for the peer's windows and the transport; with `end`, half-close after it.

        Raises RpcError if the call has ended, trio.BusyResourceError if another task is sending.
        """
        if self.sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self.check_open()
        sent = self.connection.write_data(self, data, 0, end=end)
        if sent != len(data):
            await self._send_rest(data, sent, end=end)

    async def _send_rest(self, data: bytes, sent: int, *, end: bool) -> None:
        self.sending = True
        try:
            while sent != len(data):
                await self._sleep_blocked()
                self.check_open()
                sent = self.connection.write_data(self, data, sent, end=end)
        except trio.Cancelled:
            if sent and self.error is None:
                # Half a message is out: whatever came next would be read as its rest.
                self.connection.reset(self, ErrorCodes.CANCEL)
                self.fail(RpcError(Status.CANCELLED, "a message was cut off by a cancellation"))
            raise
        finally:
            self.sending = False

    async def wait_room(self) -> None:
        """Wait until the transport takes more, or the call has ended.

        What is not DATA has no window: without this a peer that never reads could pile up our answers.
        """
        while self.connection.full and self.error is None:
            await self._sleep_blocked()

    async def _sleep_blocked(self) -> None:
        blocked = self.connection.blocked
        blocked[self] = None
        try:
            await self.sender.sleep()
        finally:
            blocked.pop(self, None)

    def check_open(self) -> None:
        """Raise RpcError if nothing more can be sent."""
        if self.error is not None:
            raise self.error
        if self.remote_ended and self.connection.client:
            self._check_end()
            raise RpcError(Status.CANCELLED, "the server ended the call without reading everything")
        if self.local_ended:
            raise RpcError(Status.INTERNAL, "this end has already ended its side of the call")

    def fail(self, error: RpcError) -> None:
        """End the stream for both of its users: they meet `error` at their next step."""
        if self.error is None:
            self.error = error
        self.reader.wake()
        self.sender.wake()
        if self.scope is not None:
            self.scope.cancel()
