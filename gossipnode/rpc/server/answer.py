"""Runs one call at the server: from the handler's result or exception to the status on the wire.

Every call ends in exactly one status, and that of an unexpected exception never tells the peer its text.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from grpclib.exceptions import GRPCError

from gossipnode.rpc.http2.frames import frame_message
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.metadata import encode_user_metadata, status_fields
from gossipnode.rpc.method import Cardinality, Method
from gossipnode.rpc.server.calls import CallContext, ServerStream, decode_requests, send_initial_metadata
from gossipnode.rpc.status import RpcError, Status, find_rpc_error

log = logging.getLogger("gossipnode.rpc")

# Handlers are keyed by methods of any message types: the pair is checked where it is written.
AnyMethod = Method[Any, Any]
Handler = Callable[..., Awaitable[Any]]
Observe = Callable[[str, Status, float], None]

_OK: Final = RpcError(Status.OK)


async def answer(
    stream: Stream, method: AnyMethod, handler: Handler, call: CallContext, observe: Observe | None
) -> None:
    """Run `handler` for the call on `stream` and end the stream with its status."""
    began = trio.current_time()
    outcome: GRPCError = _OK
    try:
        outcome = await _run(stream, method, handler, call)
        if stream.connection.full:
            await stream.wait_room()
        if stream.error is None and not stream.local_ended:
            _send_status(stream, call, outcome)
    except BaseException:
        # Cancelled from outside; from within a handler's nursery it comes as a group.
        outcome = stream.error or RpcError(Status.CANCELLED)
        raise
    finally:
        stream.connection.finish(stream)
        report(observe, method.path, outcome.status, trio.current_time() - began)


def report(observe: Observe | None, path: str, status: Status, seconds: float) -> None:
    """Tell the observer of a call that ended. What goes wrong in there must not cost the caller anything."""
    if observe is None:
        return
    try:
        observe(path, status, seconds)
    except Exception:
        log.exception("the observer of calls failed")


async def _run(stream: Stream, method: AnyMethod, handler: Handler, call: CallContext) -> GRPCError:
    """Run the handler within its deadline and the peer's patience; return how it ended."""
    scope = stream.scope = trio.CancelScope(deadline=math.inf if call.deadline is None else call.deadline)
    try:
        with scope:
            if method.cardinality is Cardinality.UNARY_UNARY:
                await _run_unary(stream, method, handler, call)
            else:
                await handler(ServerStream(stream, method, call))
    except Exception as error:  # noqa: BLE001 - whatever a handler raises becomes a status, here only
        return judge(error, method.path)
    if not scope.cancelled_caught:
        return _OK
    return stream.error or RpcError(Status.DEADLINE_EXCEEDED, "deadline exceeded")


async def _run_unary(stream: Stream, method: AnyMethod, handler: Handler, call: CallContext) -> None:
    request = await _receive_request(stream)
    reply = await handler(decode_requests(method, [request])[0], call)
    data = frame_message(method.encode_reply(reply))
    send_initial_metadata(stream, call)
    with call.replies.holding(len(data)):
        await stream.send(data)


async def _receive_request(stream: Stream) -> bytes:
    if stream.remote_ended:
        messages = stream.take(2)
    else:
        messages = await _receive_late_request(stream)
    if len(messages) != 1 or stream.inbound:
        raise RpcError(Status.INVALID_ARGUMENT, "a unary call has exactly one request")
    return messages[0]


async def _receive_late_request(stream: Stream) -> list[bytes]:
    """As long as the request is not here, the call has no handler that could give it up: so we must."""
    patience_seconds = stream.connection.limits.request_seconds
    messages: list[bytes] = []
    with trio.move_on_after(patience_seconds) as patience:
        while len(messages) < 2 and (more := await stream.receive(1)):
            messages += more
    if patience.cancelled_caught:
        raise RpcError(Status.DEADLINE_EXCEEDED, f"no whole request within {patience_seconds:g} s")
    return messages


def judge(error: Exception, path: str) -> GRPCError:
    """What the peer is told of `error`: the status it carries, or INTERNAL and nothing else."""
    known = find_rpc_error(error)
    if known is not None:
        return known
    log.error("call of %s failed", path, exc_info=error)
    return RpcError(Status.INTERNAL, "internal error")


def _send_status(stream: Stream, call: CallContext, outcome: GRPCError) -> None:
    try:
        metadata = encode_user_metadata(call.trailing_metadata)
        if not stream.headers_sent:
            metadata = encode_user_metadata(call.initial_metadata) + metadata
    except (ValueError, TypeError):
        log.exception("metadata of %s cannot be sent", call.path)
        outcome, metadata = RpcError(Status.INTERNAL, "internal error"), []
    if outcome.status is Status.OK and not stream.headers_sent:
        # Several clients take a trailers-only OK for a lost reply.
        send_initial_metadata(stream, call)
    fields, once = status_fields(outcome.status, outcome.message or "", stream.headers_sent)
    stream.connection.write_headers(stream, fields, once + metadata, end=True)
