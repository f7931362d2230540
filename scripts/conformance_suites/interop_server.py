"""The service of the interop cases on our server, with the health service beside it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from conformance_suites.interop_methods import (
    DUPLEX_CALL,
    ECHOED_INITIAL,
    ECHOED_TRAILING,
    EMPTY_CALL,
    INPUT_CALL,
    OUTPUT_CALL,
    UNARY_CALL,
    InputResponse,
    Message,
    OutputResponse,
    Payload,
    SimpleResponse,
)
from gossipnode.rpc import Limits, RpcError, Server, Status
from gossipnode.rpc.server.calls import CallContext, ServerStream
from gossipnode.rpc.server.health import HealthService
from gossipnode.rpc.tls import tls_listeners

MICROSECONDS: Final = 1e6


async def empty_call(request: Message, call: CallContext) -> Message:
    return request


async def unary_call(request: Message, call: CallContext) -> Message:
    echo_metadata(call)
    refuse_if_asked(request)
    return SimpleResponse(payload=Payload(body=bytes(request.response_size)))


async def output_call(stream: ServerStream[Message, Message]) -> None:
    """Answer each request with as many messages as it asks for: the one of a stream, or many in duplex."""
    echo_metadata(stream.call)
    await stream.send_initial_metadata()
    while (request := await stream.recv()) is not None:
        refuse_if_asked(request)
        for wanted in request.response_parameters:
            await trio.sleep(wanted.interval_us / MICROSECONDS)
            await stream.send(OutputResponse(payload=Payload(body=bytes(wanted.size))))


async def input_call(stream: ServerStream[Message, Message]) -> None:
    total = 0
    while (request := await stream.recv()) is not None:
        total += len(request.payload.body)
    await stream.send(InputResponse(aggregated_payload_size=total))


def echo_metadata(call: CallContext) -> None:
    for name, target in ((ECHOED_INITIAL, call.initial_metadata), (ECHOED_TRAILING, call.trailing_metadata)):
        if (value := call.metadata.get(name)) is not None:
            target[name] = value


def refuse_if_asked(request: Message) -> None:
    if request.response_status.code:
        raise RpcError(Status(request.response_status.code), request.response_status.message)


@asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port of this machine, which is given; over TLS with a `context`."""
    handlers: dict[Any, Any] = {
        EMPTY_CALL: empty_call,
        UNARY_CALL: unary_call,
        OUTPUT_CALL: output_call,
        DUPLEX_CALL: output_call,
        INPUT_CALL: input_call,
        **HealthService().handlers(),
    }
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port: int = listeners[0].socket.getsockname()[1]
        served = tls_listeners(listeners, lambda: context) if context is not None else listeners
        await nursery.start(Server(handlers, limits=Limits()).serve, served)
        yield port
        nursery.cancel_scope.cancel()
