"""Waiting for the pure state of a connection: each function looks, sleeps until it is woken, and looks again.

A task attaches its waker to the state for as long as it sleeps, so a stream on which nobody waits has none.
"""

import trio

from gossipnode.concurrency.waker import Waker
from gossipnode.rpc.head import Fields
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.http2_faults import ErrorCodes
from gossipnode.rpc.http2.outbound import Outbound
from gossipnode.rpc.http2.stream import NOBODY, Stream
from gossipnode.rpc.status import RpcError, Status


async def open_stream(connection: ClientConnection, fields: Fields, once: list[tuple[str, str]]) -> Stream:
    """Open a stream with a request's header block, waiting for a free place.

    Raises RpcError UNAVAILABLE, never processed, if the connection ends before that.
    """
    while connection.usable:
        if connection.has_place:
            return connection.open(fields, once)
        opener = Waker()
        connection.openers[opener] = None
        try:
            await opener.sleep()
        finally:
            connection.openers.pop(opener, None)
    raise RpcError(Status.UNAVAILABLE, "the connection was closed", never_processed=True)


async def receive(connection: Outbound, stream: Stream, max_messages: int) -> list[bytes]:
    """Wait for at least one message and return up to `max_messages`; [] when the peer ended well.

    Raises RpcError with the status of the call if it ended otherwise, trio.BusyResourceError if another task
    is receiving.
    """
    while True:
        if messages := connection.take(stream, max_messages):
            return messages
        if stream.error is not None:
            raise stream.error
        if stream.remote_ended:
            stream.check_end()
            return messages
        if stream.reader is not NOBODY:
            raise trio.BusyResourceError("another task is already waiting here")
        stream.reader = reader = Waker()
        if stream.starved:
            connection.memory.budget.wait(connection.memory, stream, reader)
        try:
            await reader.sleep()
        finally:
            stream.reader = NOBODY


async def receive_in_turn(connection: Outbound, stream: Stream, max_messages: int) -> list[bytes]:
    """As `receive`. A task that always finds messages there lets others run before it gets them."""
    await trio.lowlevel.checkpoint_if_cancelled()
    messages = connection.take(stream, max_messages)
    if not messages:
        return await receive(connection, stream, max_messages)
    await trio.lowlevel.cancel_shielded_checkpoint()  # they are taken: a cancellation here would lose them
    return messages


async def yield_if_due(connection: Outbound) -> None:
    """Let other tasks run if the writer has enough to do; meet a cancellation in any case.

    A checkpoint takes as long as sending a small message. A task that sends without end still yields after
    every `gather_bytes`, since each message, also an empty one, adds to what the writer has to send.
    """
    if len(connection.out) >= connection.limits.gather_bytes:
        await trio.lowlevel.checkpoint()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()


async def send(connection: Outbound, stream: Stream, data: bytes, *, end: bool = False) -> None:
    """Send `data`, waiting for the peer's windows and the transport; with `end`, half-close after it.

    Raises RpcError if the call has ended, trio.BusyResourceError if another task is sending.
    """
    if stream.sending:
        raise trio.BusyResourceError("another task is sending on this stream")
    stream.check_open()
    sent = connection.write_data(stream, data, 0, end=end)
    if sent != len(data):
        await _send_rest(connection, stream, data, sent, end=end)


async def _send_rest(connection: Outbound, stream: Stream, data: bytes, sent: int, *, end: bool) -> None:
    stream.sending = True
    try:
        while sent != len(data):
            await _sleep_blocked(connection, stream)
            stream.check_open()
            sent = connection.write_data(stream, data, sent, end=end)
    except trio.Cancelled:
        if sent and stream.error is None:
            # Half a message is out: the peer would read whatever came next as its other half.
            connection.reset(stream, ErrorCodes.CANCEL)
            connection.fail(stream, RpcError(Status.CANCELLED, "a message was cut off by a cancellation"))
        raise
    finally:
        stream.sending = False


async def wait_room(connection: Outbound, stream: Stream) -> None:
    """Wait until the transport takes more, or the call has ended.

    Header blocks have no window: without this wait, a peer that never reads could pile up our answers.
    """
    while connection.full and stream.error is None:
        await _sleep_blocked(connection, stream)


async def _sleep_blocked(connection: Outbound, stream: Stream) -> None:
    """Sleep until a window or the transport may have room for this stream."""
    if stream.sender is not NOBODY:
        raise trio.BusyResourceError("another task is already waiting here")
    stream.sender = sender = Waker()
    connection.blocked[stream] = None
    try:
        await sender.sleep()
    finally:
        stream.sender = NOBODY
        connection.blocked.pop(stream, None)
