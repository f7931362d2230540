"""What a handler sees of its call: the context, and for streaming methods the stream of messages.

A handler must not keep either after it has returned.
"""

from collections.abc import Sequence
from typing import Final, Generic

import trio

from gossipnode.concurrency.loop_turns import loop_turns
from gossipnode.rpc.http2 import waiting
from gossipnode.rpc.http2.connection import Connection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.message_framing import frame_message, frame_messages
from gossipnode.rpc.metadata import RESPONSE_FIELDS, encode_user_metadata
from gossipnode.rpc.method import Method, Reply, Request
from gossipnode.rpc.server.reply_budget import ReplyBudget
from gossipnode.rpc.status import Metadata, RpcError, Status

INFLATED_COST: Final = 16
"""A compressed byte counts as much in a turn of the loop as this number of others: it may become 200."""


class CallContext:
    """Which peer calls which method, until when; and the metadata that goes back to it."""

    __slots__ = (
        "deadline",
        "initial_metadata",
        "metadata",
        "notes",
        "path",
        "peer",
        "peer_certificate_names",
        "replies",
        "trailing_metadata",
    )

    def __init__(
        self,
        path: str,
        metadata: Metadata,
        peer: str,
        peer_certificate_names: tuple[str, ...],
        deadline: float | None,
        replies: ReplyBudget,
        notes: dict[str, str] | None = None,
    ) -> None:
        self.path = path
        #: What the caller sent along. The value of a key that ends in -bin is bytes, every other one is text.
        self.metadata = metadata
        self.peer = peer
        #: DNS names of the peer's verified certificate; empty without TLS or without a certificate.
        self.peer_certificate_names = peer_certificate_names
        #: Trio's time at which the caller gives up, or None.
        self.deadline = deadline
        #: What this connection's peer has still to take; see `ReplyBudget`.
        self.replies = replies
        #: What handlers note of this connection, for the calls that follow on it.
        self.notes: dict[str, str] = {} if notes is None else notes
        #: The handler fills these two: one is sent before the first message, the other with the status.
        self.initial_metadata: dict[str, str | bytes] = {}
        self.trailing_metadata: dict[str, str | bytes] = {}


class ServerStream(Generic[Request, Reply]):
    """The messages of one call, at the server. One task may receive while another sends."""

    __slots__ = ("_connection", "_method", "_stream", "call")

    def __init__(
        self, connection: Connection, stream: Stream, method: Method[Request, Reply], call: CallContext
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._method = method
        self.call = call

    @property
    def bytes_sent(self) -> int:
        """Message bytes sent so far, including the prefix of each message."""
        return self._stream.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Message bytes received so far, including the prefix of each message."""
        return self._stream.bytes_received

    def take_messages_up_to(self, max_message_bytes: int) -> None:
        """Take requests of this size from now on, in place of `Limits.max_message_bytes`."""
        self._stream.max_message_bytes = max_message_bytes

    async def recv(self) -> Request | None:
        """The next request; None once the client has half-closed.

        Raises RpcError: INVALID_ARGUMENT for bytes that are no request, RESOURCE_EXHAUSTED for a request
        above `Limits.max_message_bytes`.
        """
        batch = await self.recv_batch(1)
        return batch[0] if batch else None

    async def recv_batch(self, max_messages: int) -> list[Request]:
        """Wait for one request and return up to `max_messages` of those that have come; [] at the end."""
        turns, caller = loop_turns(), self._connection.memory.caller
        if self._stream.gzip:
            await turns.spend(caller, INFLATED_COST * len(self._stream.inbound))
        messages = await waiting.receive_in_turn(self._connection, self._stream, max_messages)
        await turns.spend(caller, sum(map(len, messages)) // self._method.bytes_of_one)
        return decode_requests(self._method, messages)

    async def send(self, message: Reply) -> None:
        """Send one reply; waits while the client's window or the transport is full."""
        await self._send(frame_message(self._method.encode_reply(message)))

    async def send_batch(self, messages: Sequence[Reply]) -> None:
        """Send several replies, coalesced into as few frames as fit."""
        encode = self._method.encode_reply
        await self._send(frame_messages([encode(message) for message in messages]))

    async def send_initial_metadata(self) -> None:
        """Send `call.initial_metadata` now, instead of with the first reply."""
        await trio.lowlevel.checkpoint()
        send_initial_metadata(self._connection, self._stream, self.call)

    async def _send(self, data: bytes) -> None:
        await waiting.yield_if_due(self._connection)
        send_initial_metadata(self._connection, self._stream, self.call)
        await waiting.send(self._connection, self._stream, data)


def send_initial_metadata(connection: Connection, stream: Stream, call: CallContext) -> None:
    """Start the response of a call, unless that was done."""
    if not stream.headers_sent:
        stream.check_open()
        metadata = encode_user_metadata(call.initial_metadata)
        connection.write_headers(stream, RESPONSE_FIELDS, metadata)


def decode_requests(method: Method[Request, Reply], messages: Sequence[bytes]) -> list[Request]:
    """Decode what a client sent. Raises RpcError INVALID_ARGUMENT with the decoder's own words."""
    decode = method.decode_request
    try:
        return [decode(message) for message in messages]
    except ValueError as error:
        raise RpcError(Status.INVALID_ARGUMENT, str(error)) from error
