"""The gRPC client: one peer, one connection at a time, unary calls and streams.

Every call ends in a reply or in one RpcError, at its timeout at the latest. Must never repeat a call that
the server may have begun, unless the caller's RetryPolicy allows it.
"""

import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Generic, Protocol, Self, TypeAlias

import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.rpc.client.client_stream import ClientStream, decode_replies
from gossipnode.rpc.client.dialing import Connect, Dialer, Explain
from gossipnode.rpc.client.retry import RetryPolicy, backoff_seconds
from gossipnode.rpc.head import Fields
from gossipnode.rpc.http2 import waiting
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.message_framing import ONE_TOO_MANY, frame_message
from gossipnode.rpc.metadata import CONTENT_TYPE, encode_timeout, encode_user_metadata
from gossipnode.rpc.method import Method, Reply, Request
from gossipnode.rpc.status import Metadata, RpcError, Status

_USER_AGENT: Final = b"gossipnode-grpc"


class Call(Protocol):
    """Opens a call on a connection that is new."""

    def __call__(
        self, method: Method[Request, Reply]
    ) -> AbstractAsyncContextManager[ClientStream[Request, Reply]]:
        """A stream of the method's messages, for the length of a block."""
        ...


Greet: TypeAlias = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UnaryResult(Generic[Reply]):
    """A reply, and the metadata that came with it."""

    reply: Reply
    initial_metadata: Metadata
    trailing_metadata: Metadata


class Channel:
    """Calls to one peer. `connect` opens a stream to it; use as `async with Channel(...) as channel`.

    A TLS stream is handed over without its handshake, which the channel does with a timeout. If that fails,
    `explain` says why. `memory` is the budget of the process, if others share it. `greet` makes a first
    call on each connection, before there are others; if it raises an RpcError, the connection is not used.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        limits: Limits | None = None,
        authority: str = "gossipnode",
        scheme: str = "http",
        rng: random.Random | None = None,
        memory: MemoryBudget | None = None,
        greet: Greet | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.limits = limits if limits is not None else Limits()
        self.authority = authority
        self._scheme = scheme.encode()
        self._rng = rng if rng is not None else random.Random()
        self.memory = memory if memory is not None else MemoryBudget()
        greeting = None if greet is None else partial(self._greet, greet)
        self._dialer = Dialer(connect, authority, self.limits, self._rng, self.memory, greeting, explain)
        self._nursery_manager = trio.open_nursery()
        self._fields: dict[str, Fields] = {}

    async def __aenter__(self) -> Self:
        self._nursery = await self._nursery_manager.__aenter__()
        self._dialer.open(self._nursery)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The nursery is not told of the block's own exception: it would wrap the exception into a group, and
        # a user could no longer catch an RpcError.
        self._dialer.close()
        self._nursery.cancel_scope.cancel()
        await self._nursery_manager.__aexit__(None, None, None)

    @property
    def connected(self) -> bool:
        """Whether it has a connection that takes calls now."""
        return self._dialer.usable is not None

    async def unary(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: float | None,  # noqa: ASYNC109 - it goes to the server as well
        metadata: Mapping[str, str | bytes] | None = None,
        wait_for_ready: bool = False,
        dial_now: bool = False,
        retry: RetryPolicy | None = None,
    ) -> Reply:
        """Call a unary method and return its reply, as `unary_call` does, but without the metadata."""
        result = await self.unary_call(
            method,
            request,
            timeout=timeout,
            metadata=metadata,
            wait_for_ready=wait_for_ready,
            dial_now=dial_now,
            retry=retry,
        )
        return result.reply

    async def unary_call(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: float | None,  # noqa: ASYNC109 - it goes to the server as well
        metadata: Mapping[str, str | bytes] | None = None,
        wait_for_ready: bool = False,
        dial_now: bool = False,
        retry: RetryPolicy | None = None,
    ) -> UnaryResult[Reply]:
        """Call a unary method, for at most `timeout` seconds over all attempts.

        Raises RpcError with the server's status, DEADLINE_EXCEEDED at the timeout, UNAVAILABLE if the peer
        cannot be reached (at once, unless `wait_for_ready`). `dial_now` dials in spite of a running backoff.
        """
        data = frame_message(method.encode_request(request))
        once = encode_user_metadata(metadata)
        deadline = math.inf if timeout is None else trio.current_time() + timeout
        with trio.CancelScope(deadline=deadline):
            attempt = 1
            while True:
                try:
                    connection, stream = await self._open(
                        method.path, deadline, once, dial_now, wait_for_ready
                    )
                    return await _exchange(connection, stream, method, data)
                except RpcError as error:
                    pause = self._retry_pause(error, attempt, retry, wait_for_ready)
                    if pause is None:
                        raise
                    attempt += 1
                await trio.sleep(pause)
        raise _too_late(timeout)

    def _retry_pause(
        self, error: RpcError, attempt: int, retry: RetryPolicy | None, wait_for_ready: bool
    ) -> float | None:
        """The seconds until the next attempt; None to give up."""
        if error.never_processed and attempt == 1 and self._dialer.may_succeed_now:
            return 0.0  # a server that shuts down refuses calls unseen: dial its successor
        if error.never_processed and wait_for_ready:
            return backoff_seconds(
                attempt, self.limits.backoff_min_seconds, self.limits.backoff_max_seconds, self._rng
            )
        if retry is None or error.status not in retry.statuses or attempt >= retry.attempts:
            return None
        return backoff_seconds(attempt, retry.min_seconds, retry.max_seconds, self._rng)

    @asynccontextmanager
    async def stream(
        self,
        method: Method[Request, Reply],
        *,
        timeout: float | None,  # noqa: ASYNC109 - it goes to the server as well
        metadata: Mapping[str, str | bytes] | None = None,
        wait_for_ready: bool = False,
        dial_now: bool = False,
    ) -> AsyncGenerator[ClientStream[Request, Reply]]:
        """Open a call of any shape for the length of the block, and of `timeout` seconds at most.

        Leaving the block before the server has ended the call cancels it. Raises as `unary_call` does.
        """
        once = encode_user_metadata(metadata)
        deadline = math.inf if timeout is None else trio.current_time() + timeout
        with trio.CancelScope(deadline=deadline) as scope:
            connection, stream = await self._open(method.path, deadline, once, dial_now, wait_for_ready)
            try:
                yield ClientStream(connection, stream, method)
            finally:
                connection.finish(stream)
        if scope.cancelled_caught:
            raise _too_late(timeout)

    async def _open(
        self, path: str, deadline: float, once: list[tuple[str, str]], dial_now: bool, wait_for_ready: bool
    ) -> tuple[ClientConnection, Stream]:
        """Open a stream, and try once more if the connection ends while the call waits for a place on it."""
        for last_try in (False, True):
            connection = self._dialer.usable or await self._dialer.connection(
                dial_now=dial_now, wait_for_ready=wait_for_ready
            )
            try:
                stream = await waiting.open_stream(connection, self._head(path, deadline), once)
                return connection, stream
            except RpcError:
                if last_try:
                    raise
        raise AssertionError("unreachable")

    async def _greet(self, greet: Greet, connection: ClientConnection) -> None:
        @asynccontextmanager
        async def call(method: Method[Request, Reply]) -> AsyncGenerator[ClientStream[Request, Reply]]:
            stream = await waiting.open_stream(connection, self._head(method.path, math.inf), [])
            try:
                yield ClientStream(connection, stream, method)
            finally:
                connection.finish(stream)

        await greet(call)

    def _head(self, path: str, deadline: float) -> Fields:
        fields = self._fields.get(path)
        if fields is None:
            fields = self._fields[path] = (
                (b":method", b"POST"),
                (b":scheme", self._scheme),
                (b":path", path.encode()),
                (b":authority", self.authority.encode()),
                (b"te", b"trailers"),
                (b"content-type", CONTENT_TYPE),
                (b"user-agent", _USER_AGENT),
            )
        if deadline == math.inf:
            return fields
        timeout = encode_timeout(deadline - trio.current_time())
        return (*fields, (b"grpc-timeout", timeout.encode()))


async def _exchange(
    connection: ClientConnection, stream: Stream, method: Method[Request, Reply], data: bytes
) -> UnaryResult[Reply]:
    """Send the one request of an open stream and wait for its one reply and status."""
    try:
        await waiting.send(connection, stream, data, end=True)
        messages = await waiting.receive(connection, stream, ONE_TOO_MANY)
        if len(messages) == 1 and not await waiting.receive(connection, stream, 1):
            reply = decode_replies(method, messages)[0]
            return UnaryResult(reply, stream.initial_metadata, stream.trailing_metadata)
        raise RpcError(Status.INTERNAL, "the answer to a unary call is not one message")
    finally:
        connection.finish(stream)


def _too_late(timeout: float | None) -> RpcError:
    return RpcError(Status.DEADLINE_EXCEEDED, f"no answer within {timeout or 0:g} s")
