"""Calls to one node under asyncio, over grpclib's own channel. The only module that imports asyncio.

grpclib ends a wait by cancelling the task that waits, and never takes the cancellation back. A task of the
application would look cancelled from then on, so every wait in grpclib runs in a task of our own.

What is overridden here is private to grpclib: its version is pinned, and a test names each part that is used.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import anyio
from grpclib.client import Channel, Handler, Stream
from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import Deadline
from grpclib.protocol import H2Protocol
from h2.exceptions import H2Error

from gossipnode.client.transport.handshake_trouble import trouble
from gossipnode.client.transport.span_metadata import span_metadata
from gossipnode.client.transport.transport_protocol import NextAnswer
from gossipnode.config.address import Address
from gossipnode.rpc import Limits, Method, RpcError, Status
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.method import Reply, Request
from gossipnode.rpc.status import SPEAKS_TLS
from gossipnode.rpc.tls import ClientTls

CLOSE_SECONDS = 1.0
"""How long we wait for a connection to be closed."""

Result = TypeVar("Result")

_PREFIX_BYTES = 5
"""Of each message: a flag for compression, and the length."""


class _Bytes(CodecBase):
    """Passes messages on as bytes, because our methods have codecs of their own."""

    @property
    def __content_subtype__(self) -> str:
        return "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


class _Protocol(H2Protocol):
    """Notes when the server has sent something, and when and why the connection was lost."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()
        self.loss: BaseException | None = None
        self.wants_tls = False

    def data_received(self, data: bytes) -> None:
        if not self.heard.is_set():
            self.wants_tls = data.startswith(frames.TLS_ALERT_BEGIN)
        super().data_received(data)
        self.heard.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.loss = exc
        self.processor.close(reason=f"the connection was lost: {exc}" if exc else "the connection was lost")
        self.heard.set()
        self.closed.set()

    async def greeted(self) -> None:
        """Wait until the server has sent something.

        HTTP/2 does not ask for that. But a server that has just refused our certificate resets the connection
        when we send more, and then its reason can no longer be read.
        """
        try:
            await self.heard.wait()
        except BaseException:
            self.processor.close()
            raise
        if self.wants_tls:
            self.processor.close()
            raise ConnectionAbortedError(SPEAKS_TLS)
        if self.handler.connection_lost:  # type: ignore[attr-defined]
            raise ConnectionAbortedError(str(self.loss or "it closes the connection, or speaks no HTTP/2"))


class _Call(Stream[bytes, bytes]):
    """One call. A message above the limit is refused before it is read into memory."""

    async def recv_message(self) -> bytes | None:
        if not self._recv_initial_metadata_done:
            await self.recv_initial_metadata()
        with self._wrapper:
            prefix = await self._stream.recv_data(_PREFIX_BYTES)
            if not prefix:
                return None
            size = int.from_bytes(prefix[1:])
            if prefix[0]:
                raise RpcError(Status.INTERNAL, "the answer is compressed, which nobody asked for")
            if size > _LIMITS.max_message_bytes:
                limit = f"{_LIMITS.max_message_bytes:,} bytes"
                raise RpcError(Status.RESOURCE_EXHAUSTED, f"an answer of {size:,} bytes is over {limit}")
            return await self._stream.recv_data(size)


class _Channel(Channel):
    """A channel whose calls are `_Call`s and whose connections are `_Protocol`s."""

    ended = False
    address: Address
    tls: ClientTls | None

    def call(self, method: Method[Any, Any], timeout_seconds: float | None) -> _Call:
        deadline = None if timeout_seconds is None else Deadline.from_timeout(timeout_seconds)
        metadata: Any = span_metadata()
        return _Call(
            self,
            method.path,
            metadata,
            method.cardinality,
            bytes,
            bytes,
            codec=self._codec,
            status_details_codec=None,
            dispatch=self.__dispatch__,
            deadline=deadline,
        )

    def _protocol_factory(self) -> H2Protocol:
        return _Protocol(Handler(), self._config, self._h2_config)

    async def _create_connection(self) -> H2Protocol:
        try:
            protocol = cast("_Protocol", await super()._create_connection())
        except ssl.SSLError as error:
            if self.tls is None:
                raise
            raise ConnectionAbortedError(await trouble(self.address, self.tls, error)) from error
        await protocol.greeted()
        if self.ended:
            protocol.processor.close()
            raise ConnectionAbortedError("the client is closed")
        return protocol

    async def end(self) -> None:
        """Close the connection, and wait for CLOSE_SECONDS at most until it is gone."""
        self.ended = True
        protocol = self._protocol
        self.close()
        if isinstance(protocol, _Protocol):
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await protocol.closed.wait()


class AsyncioTransport:
    """Implements `Transport`, see `gossipnode.client.transport.transport_protocol`."""

    def __init__(self, channel: _Channel, address: Address) -> None:
        """Call over `channel`, which its owner closes."""
        self._channel = channel
        self._address = address

    async def unary(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - it goes to the node as well
    ) -> Reply:
        """Call a unary method."""
        data = method.encode_request(request)
        with _as_rpc_errors(timeout):
            return _decoded(method, await _apart(self._exchange(method, data, timeout)))

    async def _exchange(self, method: Method[Any, Any], data: bytes, timeout_seconds: float) -> bytes:
        call = self._channel.call(method, timeout_seconds)
        async with call:
            await self._send(call, data)
            reply = await call.recv_message()
        if reply is None:
            raise RpcError(Status.INTERNAL, "the answer to a unary call is not one message")
        return reply

    @asynccontextmanager
    async def stream(
        self, method: Method[Request, Reply], request: Request
    ) -> AsyncGenerator[NextAnswer[Reply]]:
        """Send one request and receive many answers."""

        async def next_answer() -> Reply | None:
            with _as_rpc_errors(None):
                message = await _apart(_next_message(call))
            return None if message is None else _decoded(method, message)

        data = method.encode_request(request)
        call = self._channel.call(method, None)
        await call.__aenter__()
        try:
            with _as_rpc_errors(None):
                await _apart(self._send(call, data))
            yield next_answer
        finally:
            # Leave as if cancelled: grpclib then resets a call that has not ended, and waits for nothing.
            await call.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)

    async def _send(self, call: _Call, data: bytes) -> None:
        """Send the one request. Until its headers are sent, the node cannot have begun the call."""
        try:
            await call.send_request()
        except OSError as error:
            problem = f"{self._address} cannot be reached: {_reason(error)}"
            raise RpcError(Status.UNAVAILABLE, problem, never_processed=True) from error
        await call.send_message(data, end=True)


async def _next_message(call: _Call) -> bytes | None:
    message = await call.recv_message()
    if message is None:
        # Read the status here, and not when the block is left: one other than OK is an error of this wait.
        await call.recv_trailing_metadata()
    return message


async def _apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work in a task of its own, which has ended when this returns or raises."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,))
    except BaseException:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # asyncio would log an exception that nobody has looked at
        raise
    return task.result()


@contextmanager
def _as_rpc_errors(timeout_seconds: float | None) -> Generator[None]:
    """Turn what grpclib raises into what `Transport` promises."""
    try:
        yield
    except RpcError:
        raise
    except GRPCError as error:
        # Metadata that is not NO_METADATA, even if empty, says that the node sent the status.
        raise RpcError(error.status, error.message or "", trailing_metadata={}) from error
    except TimeoutError as error:
        waited = f"no answer within {timeout_seconds or 0:g} s"
        raise RpcError(Status.DEADLINE_EXCEEDED, waited) from error
    except (StreamTerminatedError, ProtocolError, H2Error, OSError) as error:
        raise RpcError(Status.UNAVAILABLE, str(error) or type(error).__name__) from error
    except AssertionError as error:
        # grpclib asserts that a stream does not end within a message.
        raise RpcError(Status.INTERNAL, "the answer ends within a message") from error


def _decoded(method: Method[Any, Reply], data: bytes) -> Reply:
    try:
        return method.decode_reply(data)
    except ValueError as error:
        raise RpcError(Status.INTERNAL, f"reply of {method.path} cannot be decoded: {error}") from error


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


_LIMITS = Limits()


def _configuration(server_name: str | None = None) -> Configuration:
    """Pings are on, so that a connection is given up when its other side has vanished without closing it."""
    return Configuration(
        _keepalive_time=_LIMITS.keepalive_seconds,
        _keepalive_timeout=_LIMITS.keepalive_timeout_seconds,
        _keepalive_permit_without_calls=True,
        ssl_target_name_override=server_name,
    )


@asynccontextmanager
async def open_transport(address: Address, tls: ClientTls | None) -> AsyncGenerator[AsyncioTransport]:
    """A transport to this address, for the length of the block."""
    channel = _Channel(
        address.host,
        address.port,
        codec=_Bytes(),
        ssl=None if tls is None else tls.context,
        config=_configuration(None if tls is None else tls.server_name),
    )
    channel.address, channel.tls = address, tls
    try:
        yield AsyncioTransport(channel, address)
    finally:
        await channel.end()


class AsyncioTasks:
    """Implements `Tasks`. A task group would tie the client to the task that opened it.

    Fixtures of pytest-asyncio, and frameworks that open a client at their start, close it in another task.
    """

    def __init__(self) -> None:
        """No task runs yet."""
        self._tasks: set[asyncio.Task[None]] = set()

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, None]], /, *args: Any) -> None:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(func(*args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel the tasks that still run, and wait for their end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (defect := task.exception()) is not None:
                raise defect


@asynccontextmanager
async def open_tasks() -> AsyncGenerator[AsyncioTasks]:
    """Tasks, for the length of the block."""
    tasks = AsyncioTasks()
    try:
        yield tasks
    finally:
        await tasks.end()
