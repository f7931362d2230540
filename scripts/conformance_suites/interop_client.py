"""The interop cases as our client plays them, against any server that serves them.

Each case raises AssertionError or RpcError if the server, or our client, does not do its part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from conformance_suites.interop_methods import (
    DUPLEX_CALL,
    ECHOED_INITIAL,
    ECHOED_TRAILING,
    EMPTY_CALL,
    INPUT_CALL,
    OUTPUT_CALL,
    UNARY_CALL,
    UNKNOWN_METHOD,
    UNKNOWN_SERVICE,
    EchoStatus,
    Empty,
    InputRequest,
    Message,
    OutputRequest,
    Payload,
    ResponseParameters,
    SimpleRequest,
)
from gossipnode.rpc import Channel, RpcError, Status
from gossipnode.rpc.client.client_stream import ClientStream

PATIENCE_SECONDS: Final = 20.0
SHORT_SECONDS: Final = 0.001
REQUEST_SIZES: Final = (27_182, 8, 1_828, 45_904)
REPLY_SIZES: Final = (31_415, 9, 2_653, 58_979)
LARGE_REQUEST: Final = 271_828
LARGE_REPLY: Final = 314_159
SPECIAL_MESSAGE: Final = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
METADATA: Final[Mapping[str, str | bytes]] = {
    ECHOED_INITIAL: "test_initial_metadata_value",
    ECHOED_TRAILING: b"\x0a\x0b\x0a\x0b\x0a\x0b",
}


async def empty_unary(channel: Channel) -> None:
    assert await channel.unary(EMPTY_CALL, Empty(), timeout=PATIENCE_SECONDS) == Empty()


async def large_unary(channel: Channel) -> None:
    request = SimpleRequest(response_size=LARGE_REPLY, payload=Payload(body=bytes(LARGE_REQUEST)))
    reply = await channel.unary(UNARY_CALL, request, timeout=PATIENCE_SECONDS)
    assert reply.payload.body == bytes(LARGE_REPLY)


async def client_streaming(channel: Channel) -> None:
    async with channel.stream(INPUT_CALL, timeout=PATIENCE_SECONDS) as stream:
        for size in REQUEST_SIZES:
            await stream.send(InputRequest(payload=Payload(body=bytes(size))))
        await stream.half_close()
        reply = await stream.recv()
        assert reply is not None
        assert reply.aggregated_payload_size == sum(REQUEST_SIZES)
        assert await stream.recv() is None


async def server_streaming(channel: Channel) -> None:
    async with channel.stream(OUTPUT_CALL, timeout=PATIENCE_SECONDS) as stream:
        await stream.send(asking(*REPLY_SIZES))
        await stream.half_close()
        for size in REPLY_SIZES:
            await check_reply(stream, size)
        assert await stream.recv() is None


async def ping_pong(channel: Channel) -> None:
    async with channel.stream(DUPLEX_CALL, timeout=PATIENCE_SECONDS) as stream:
        for request_size, reply_size in zip(REQUEST_SIZES, REPLY_SIZES, strict=True):
            await stream.send(asking(reply_size, body_bytes=request_size))
            await check_reply(stream, reply_size)
        await stream.half_close()
        assert await stream.recv() is None


async def empty_stream(channel: Channel) -> None:
    async with channel.stream(DUPLEX_CALL, timeout=PATIENCE_SECONDS) as stream:
        await stream.half_close()
        assert await stream.recv() is None


async def timeout_on_sleeping_server(channel: Channel) -> None:
    async def wait_for_nothing() -> None:
        async with channel.stream(DUPLEX_CALL, timeout=SHORT_SECONDS) as stream:
            await stream.send(asking(body_bytes=REQUEST_SIZES[0]))
            await stream.recv()

    await check_error(wait_for_nothing(), Status.DEADLINE_EXCEEDED)


async def cancel_after_begin(channel: Channel) -> None:
    async with channel.stream(INPUT_CALL, timeout=PATIENCE_SECONDS, metadata={"key1": "value1"}):
        pass
    await empty_unary(channel)


async def cancel_after_first_response(channel: Channel) -> None:
    async with channel.stream(DUPLEX_CALL, timeout=PATIENCE_SECONDS) as stream:
        await stream.send(asking(REPLY_SIZES[0], body_bytes=REQUEST_SIZES[0]))
        await check_reply(stream, REPLY_SIZES[0])
    await empty_unary(channel)


async def status_code_and_message(channel: Channel) -> None:
    wanted = EchoStatus(code=Status.UNKNOWN.value, message="test status message")
    await check_error(unary(channel, SimpleRequest(response_status=wanted)), Status.UNKNOWN, wanted.message)

    async def duplex() -> None:
        async with channel.stream(DUPLEX_CALL, timeout=PATIENCE_SECONDS) as stream:
            await stream.send(OutputRequest(response_status=wanted))
            await stream.half_close()
            await stream.recv()

    await check_error(duplex(), Status.UNKNOWN, wanted.message)


async def special_status_message(channel: Channel) -> None:
    wanted = EchoStatus(code=Status.UNKNOWN.value, message=SPECIAL_MESSAGE)
    await check_error(unary(channel, SimpleRequest(response_status=wanted)), Status.UNKNOWN, SPECIAL_MESSAGE)


async def unimplemented_method(channel: Channel) -> None:
    call = channel.unary(UNKNOWN_METHOD, Empty(), timeout=PATIENCE_SECONDS)
    await check_error(call, Status.UNIMPLEMENTED)


async def unimplemented_service(channel: Channel) -> None:
    call = channel.unary(UNKNOWN_SERVICE, Empty(), timeout=PATIENCE_SECONDS)
    await check_error(call, Status.UNIMPLEMENTED)


async def custom_metadata(channel: Channel) -> None:
    request = SimpleRequest(response_size=1, payload=Payload(body=b"\0"))
    result = await channel.unary_call(
        UNARY_CALL, request, timeout=PATIENCE_SECONDS, metadata=METADATA, wait_for_ready=True
    )
    assert result.initial_metadata[ECHOED_INITIAL] == METADATA[ECHOED_INITIAL]
    assert result.trailing_metadata[ECHOED_TRAILING] == METADATA[ECHOED_TRAILING]
    async with channel.stream(DUPLEX_CALL, timeout=PATIENCE_SECONDS, metadata=METADATA) as stream:
        await stream.send(asking(1, body_bytes=1))
        await check_reply(stream, 1)
        await stream.half_close()
        assert await stream.recv() is None
        assert stream.initial_metadata[ECHOED_INITIAL] == METADATA[ECHOED_INITIAL]
        assert stream.trailing_metadata[ECHOED_TRAILING] == METADATA[ECHOED_TRAILING]


CASES: Final[tuple[Callable[[Channel], Awaitable[None]], ...]] = (
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    timeout_on_sleeping_server,
    cancel_after_begin,
    cancel_after_first_response,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    custom_metadata,
)


async def unary(channel: Channel, request: Message) -> None:
    await channel.unary(UNARY_CALL, request, timeout=PATIENCE_SECONDS)


def asking(*sizes: int, body_bytes: int = 0) -> Message:
    """A request for replies of these sizes, with a body of its own."""
    wanted = [ResponseParameters(size=size) for size in sizes]
    return OutputRequest(response_parameters=wanted, payload=Payload(body=bytes(body_bytes)))


async def check_reply(stream: ClientStream[Message, Message], size: int) -> None:
    reply = await stream.recv()
    assert reply is not None
    assert reply.payload.body == bytes(size)


async def check_error(call: Awaitable[None], status: Status, message: str | None = None) -> None:
    """The call must end in `status`, and with `message` if one is given."""
    try:
        await call
    except RpcError as error:
        if error.status is not status or message not in (None, error.message):
            raise
    else:
        raise AssertionError(f"the call ended well instead of in {status.name}")
