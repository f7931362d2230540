"""Runs one call at the server: from the handler's result or exception to the status on the wire.

Every call ends in exactly one status. The status of an unexpected exception never tells the peer its text.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from grpclib.exceptions import GRPCError

from gossipnode.concurrency.loop_turns import loop_turns
from gossipnode.concurrency.memory_room import RoomFor
from gossipnode.rpc.http2 import waiting
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.log import log
from gossipnode.rpc.message_framing import ONE_TOO_MANY, frame_message
from gossipnode.rpc.metadata import encode_user_metadata, status_fields
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.server.calls import (
    INFLATED_COST,
    CallContext,
    ServerStream,
    decode_requests,
    send_initial_metadata,
)
from gossipnode.rpc.status import RpcError, Status, find_rpc_error

# Handlers are keyed by methods of any message types: where the pair is written down, its types are checked.
AnyMethod = Method[Any, Any]
Handler = Callable[..., Awaitable[Any]]
Observe = Callable[[str, Status, float], None]

DECODED_FACTOR: Final = 8
"""What a request takes while it is handled, as a multiple of its bytes: they become objects."""

_OK: Final = RpcError(Status.OK)
CALL_BYTES: Final = 1024
"""To begin a call counts as much in a turn of the loop as to decode this number of bytes."""


async def answer(
    connection: ServerConnection,
    stream: Stream,
    method: AnyMethod,
    handler: Handler,
    call: CallContext,
    observe: Observe | None,
) -> None:
    """Run `handler` for the call on `stream` and end the stream with its status."""
    began = trio.current_time()
    outcome: GRPCError = _OK
    try:
        outcome = await _run(connection, stream, method, handler, call)
        if connection.full:
            await waiting.wait_room(connection, stream)
        if stream.error is None and not stream.local_ended:
            _send_status(connection, stream, call, outcome)
    except BaseException:
        # The call was cancelled from outside. A handler's own nursery raises the cancellation in a group.
        outcome = stream.error or RpcError(Status.CANCELLED)
        raise
    finally:
        connection.finish(stream)
        report(observe, method.path, outcome.status, trio.current_time() - began)


def report(observe: Observe | None, path: str, status: Status, seconds: float) -> None:
    """Tell the observer of a call that has ended. If the observer fails, the caller must not notice."""
    if observe is None:
        return
    try:
        observe(path, status, seconds)
    except Exception:
        log.exception("the observer of calls failed")


async def _run(
    connection: ServerConnection, stream: Stream, method: AnyMethod, handler: Handler, call: CallContext
) -> GRPCError:
    """Run the handler until it ends, its deadline passes or its stream fails; return how the call ended."""
    if stream.error is not None:
        return stream.error  # the call has failed before its task began, and nobody could cancel it then
    if stream.ending is not None:
        return stream.ending
    scope = stream.scope = trio.CancelScope(deadline=math.inf if call.deadline is None else call.deadline)
    try:
        with scope:
            if method.cardinality is Cardinality.UNARY_UNARY:
                await _run_unary(connection, stream, method, handler, call)
            else:
                await loop_turns().spend(connection.memory.caller, CALL_BYTES)
                await handler(ServerStream(connection, stream, method, call))
    except Exception as error:  # noqa: BLE001 - the one place where what a handler raises becomes a status
        return stream.ending or judge(error, method.path)
    if not scope.cancelled_caught:
        return _OK
    return stream.error or stream.ending or RpcError(Status.DEADLINE_EXCEEDED, "deadline exceeded")


async def _run_unary(
    connection: ServerConnection, stream: Stream, method: AnyMethod, handler: Handler, call: CallContext
) -> None:
    request = await _receive_request(connection, stream)
    size = len(request)
    # The bytes themselves are counted already; see `Stream.handed`.
    async with RoomFor(connection.requests, size * (DECODED_FACTOR - 1)):
        await loop_turns().spend(connection.memory.caller, CALL_BYTES + size)
        reply = await handler(decode_requests(method, [request])[0], call)
        data = frame_message(method.encode_reply(reply))
    send_initial_metadata(connection, stream, call)
    with call.replies.holding(len(data)):
        await waiting.send(connection, stream, data)


async def _receive_request(connection: ServerConnection, stream: Stream) -> bytes:
    if stream.gzip:
        await loop_turns().spend(connection.memory.caller, INFLATED_COST * len(stream.inbound))
    if stream.remote_ended:
        messages = connection.take(stream, ONE_TOO_MANY)
    else:
        messages = await _receive_late_request(connection, stream)
    if len(messages) != 1 or stream.inbound:
        raise RpcError(Status.INVALID_ARGUMENT, "a unary call has exactly one request")
    return messages[0]


async def _receive_late_request(connection: ServerConnection, stream: Stream) -> list[bytes]:
    """Wait for the request. No handler runs yet that could give the call up, so the wait has a limit."""
    patience_seconds = connection.limits.request_seconds
    messages: list[bytes] = []
    with trio.move_on_after(patience_seconds) as patience:
        while len(messages) < ONE_TOO_MANY and (more := await waiting.receive(connection, stream, 1)):
            messages += more
    if patience.cancelled_caught:
        raise RpcError(Status.DEADLINE_EXCEEDED, f"no whole request within {patience_seconds:g} s")
    return messages


def judge(error: Exception, path: str) -> GRPCError:
    """What the peer is told of `error`: the status that it carries, or INTERNAL and nothing else."""
    known = find_rpc_error(error)
    if known is not None:
        return known
    log.error("call of %s failed", path, exc_info=error)
    return RpcError(Status.INTERNAL, "internal error")


def _send_status(connection: ServerConnection, stream: Stream, call: CallContext, outcome: GRPCError) -> None:
    try:
        metadata = encode_user_metadata(call.trailing_metadata)
        if not stream.headers_sent:
            metadata = encode_user_metadata(call.initial_metadata) + metadata
    except (ValueError, TypeError):
        log.exception("metadata of %s cannot be sent", call.path)
        outcome, metadata = RpcError(Status.INTERNAL, "internal error"), []
    if outcome.status is Status.OK and not stream.headers_sent:
        # Several clients take an OK without a header block of its own for a lost reply.
        send_initial_metadata(connection, stream, call)
    fields, once = status_fields(outcome.status, outcome.message or "", stream.headers_sent)
    connection.write_headers(stream, fields, once + metadata, end=True)
