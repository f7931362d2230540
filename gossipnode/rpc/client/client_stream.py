"""The messages of one call, at the client.

The block `async with channel.stream(...)` owns the call: nothing here may outlive it.
"""

from collections.abc import Sequence
from typing import Final, Generic

import trio

from gossipnode.rpc.http2 import waiting
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.message_framing import frame_message, frame_messages
from gossipnode.rpc.method import Method, Reply, Request
from gossipnode.rpc.status import Metadata, RpcError, Status

# Replies that `finish` drops at a time.
_DROPPED_BATCH_MESSAGES: Final = 64


class ClientStream(Generic[Request, Reply]):
    """One task may receive while another sends. Every method raises RpcError once the call has failed."""

    __slots__ = ("_connection", "_method", "_stream")

    def __init__(self, connection: ClientConnection, stream: Stream, method: Method[Request, Reply]) -> None:
        self._connection = connection
        self._stream = stream
        self._method = method

    @property
    def bytes_sent(self) -> int:
        """Message bytes sent so far, including the prefix of each message."""
        return self._stream.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Message bytes received so far, including the prefix of each message."""
        return self._stream.bytes_received

    def take_messages_up_to(self, max_message_bytes: int) -> None:
        """Take replies of this size from now on, in place of `Limits.max_message_bytes`."""
        self._stream.max_message_bytes = max_message_bytes

    @property
    def initial_metadata(self) -> Metadata:
        """The metadata of the server's first header block; empty before it came."""
        return self._stream.initial_metadata

    @property
    def trailing_metadata(self) -> Metadata:
        """The metadata that came with the status; empty before it came."""
        return self._stream.trailing_metadata

    async def recv(self) -> Reply | None:
        """The next reply; None once the server has ended the call with OK.

        Raises RpcError with any other status, RESOURCE_EXHAUSTED for a reply above
        `Limits.max_message_bytes`, INTERNAL for bytes that are no reply.
        """
        batch = await self.recv_batch(1)
        return batch[0] if batch else None

    async def recv_batch(self, max_messages: int) -> list[Reply]:
        """Wait for one reply and return up to `max_messages` of those that have come; [] at the end."""
        messages = await waiting.receive_in_turn(self._connection, self._stream, max_messages)
        return decode_replies(self._method, messages)

    async def send(self, message: Request) -> None:
        """Send one request; waits while the server's window or the transport is full."""
        await self._send(frame_message(self._method.encode_request(message)))

    async def send_batch(self, messages: Sequence[Request]) -> None:
        """Send several requests, coalesced into as few frames as fit."""
        encode = self._method.encode_request
        await self._send(frame_messages([encode(message) for message in messages]))

    async def _send(self, data: bytes) -> None:
        await waiting.yield_if_due(self._connection)
        if data:
            await waiting.send(self._connection, self._stream, data)

    async def half_close(self) -> None:
        """Tell the server that no more requests come. Harmless if repeated, or if the call has ended."""
        await trio.lowlevel.checkpoint()
        if not self._stream.local_ended and not self._stream.remote_ended:
            await waiting.send(self._connection, self._stream, b"", end=True)

    async def finish(self) -> None:
        """Half-close and wait for the status, dropping replies that still come.

        Raises RpcError if the status is not OK.
        """
        await self.half_close()
        while await waiting.receive(self._connection, self._stream, _DROPPED_BATCH_MESSAGES):
            pass


def decode_replies(method: Method[Request, Reply], messages: Sequence[bytes]) -> list[Reply]:
    """Decode what a server sent. Raises RpcError INTERNAL with the decoder's own words."""
    decode = method.decode_reply
    try:
        return [decode(message) for message in messages]
    except ValueError as error:
        raise RpcError(Status.INTERNAL, f"reply of {method.path} cannot be decoded: {error}") from error
