"""A channel's connection: dialled when needed, shared by all calls, dialled again with backoff.

There is one dial at a time, and it runs in the channel's nursery: a caller that gives up does not end the
dial for which other callers wait.
"""

import logging
import math
import os
import random
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context

import trio

from gossipnode.concurrency.exception_groups import errors_in
from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.concurrency.shares import Caller
from gossipnode.rpc.byte_stream import STREAM_ERRORS, HandshakeError, handshake
from gossipnode.rpc.client.retry import backoff_seconds
from gossipnode.rpc.http2.client_connection import ClientConnection
from gossipnode.rpc.http2.driver import drive
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.log import log
from gossipnode.rpc.status import RpcError, Status

Connect = Callable[[], Awaitable[trio.abc.Stream]]
Explain = Callable[[HandshakeError], Awaitable[str]]
"""Says why a handshake failed. It may look at the peer once more for that."""


TOLD_MAX_FAILURES = 16
"""Different reasons for which one peer is not reached, of which the log is told."""


class Dialer:
    """Holds at most one usable connection to one peer."""

    def __init__(
        self,
        connect: Connect,
        name: str,
        limits: Limits,
        rng: random.Random,
        memory: MemoryBudget,
        greet: Callable[[ClientConnection], Awaitable[None]] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self._greet = greet
        self._explain = explain or _as_text
        self._memory = memory
        self._connect = connect
        self._name = name
        self._limits = limits
        self._rng = rng
        self._nursery: trio.Nursery | None = None
        self._context = Context()
        self._current: ClientConnection | None = None
        self._dialled: trio.Event | None = None
        self._failure: RpcError | None = None
        self._told: set[str] = set()
        """The failures that the log was told of since a connection to the peer was of use."""
        self._failures = 0
        self._dial_at = -math.inf

    def open(self, nursery: trio.Nursery) -> None:
        """Run dials and connections in `nursery` from now on.

        They run in the context of our caller. What the log says of a connection must not name the call that
        happened to need it first.
        """
        self._nursery = nursery
        self._context = copy_context()

    def close(self) -> None:
        """Close the connection and dial no more."""
        self._nursery = None
        if self._current is not None:
            self._current.close()

    @property
    def usable(self) -> ClientConnection | None:
        """The connection, if there is one that takes calls."""
        current = self._current
        return current if current is not None and current.usable else None

    @property
    def may_succeed_now(self) -> bool:
        """Whether a call that was refused unseen should be tried again without delay."""
        return self._nursery is not None and self._failure is None

    async def connection(self, *, dial_now: bool, wait_for_ready: bool) -> ClientConnection:
        """A connection that takes calls.

        After a failed dial, calls fail at once until the backoff has passed. `dial_now` dials without waiting
        for that; `wait_for_ready` waits, and dials until a dial succeeds. Raises RpcError UNAVAILABLE.
        """
        while True:
            if (usable := self.usable) is not None:
                return usable
            wait = self._dial_at - trio.current_time()
            if self._dialled is None and wait > 0 and not dial_now:
                if not wait_for_ready:
                    assert self._failure is not None
                    raise RpcError(self._failure.status, self._failure.message, never_processed=True)
                await trio.sleep(wait)
                continue
            dialled = self._dialled if self._dialled is not None else self._start_dial()
            await dialled.wait()
            if self._failure is not None and not wait_for_ready and self.usable is None:
                raise RpcError(self._failure.status, self._failure.message, never_processed=True)

    def _start_dial(self) -> trio.Event:
        if self._nursery is None:
            raise RpcError(Status.CANCELLED, "the channel is closed", never_processed=True)
        self._dialled = trio.Event()
        self._context.copy().run(self._nursery.start_soon, self._dial, self._dialled)
        return self._dialled

    async def _dial(self, dialled: trio.Event) -> None:
        def over() -> None:
            self._dialled = None
            dialled.set()

        try:
            stream = await self._reach()
        except RpcError as error:
            self._failed(error)
            over()
            return
        except BaseException:
            over()
            raise
        memory = self._memory.account("channels", Caller(self._name))
        connection = ClientConnection(self._limits, trio.current_time, memory)
        began, known = trio.current_time(), True
        try:
            if self._greet is None:
                self._use(connection)
                over()
                await drive(connection, stream, self._name)
            else:
                async with trio.open_nursery() as nursery:
                    try:
                        await nursery.start(drive, connection, stream, self._name)
                        known = await self._get_to_know(connection, self._greet)
                    finally:
                        over()
        finally:
            memory.close()
        if known:
            self._connection_ended(connection, trio.current_time() - began)

    async def _get_to_know(
        self, connection: ClientConnection, greet: Callable[[ClientConnection], Awaitable[None]]
    ) -> bool:
        """Have the connection greeted, and then used; gives whether it is. If not, the connection ends."""
        try:
            with trio.fail_after(self._limits.connect_seconds):
                await greet(connection)
        except RpcError as error:
            self._failed(error)
            connection.close()
        except trio.TooSlowError:
            reason = f"{self._name} has not answered within {self._limits.connect_seconds:g} s"
            self._failed(RpcError(Status.UNAVAILABLE, reason))
            connection.close()
        else:
            self._use(connection)
            return True
        return False

    def _use(self, connection: ClientConnection) -> None:
        self._current = connection
        self._failure = None
        # It may have been dialled within the backoff of an earlier failure, which is over with it.
        self._dial_at = -math.inf

    def _failed(self, error: RpcError) -> None:
        # The first of several failures for one reason is told: a peer may be away for days. More reasons than
        # these are what it sends itself, different each time.
        again = error.message in self._told or len(self._told) >= TOLD_MAX_FAILURES
        if not again:
            self._told.add(error.message)
        self._failure = error
        self._failures += 1
        limits = self._limits
        pause = backoff_seconds(
            self._failures, limits.backoff_min_seconds, limits.backoff_max_seconds, self._rng
        )
        self._dial_at = trio.current_time() + pause
        log.log(logging.DEBUG if again else logging.INFO, "%s; next attempt in %.1f s", error.message, pause)

    def _connection_ended(self, connection: ClientConnection, lasted_seconds: float) -> None:
        """Count a connection that the peer closed at once as a failed dial: the peer is not ready yet."""
        if self._current is connection:
            self._current = None
        lasted = lasted_seconds > self._limits.backoff_max_seconds and not connection.refusal
        if connection.settings_received or lasted:
            self._failures = 0
            self._told.clear()
            return
        reason = connection.refusal or "it closes connections at once"
        self._failed(RpcError(Status.UNAVAILABLE, f"{self._name} cannot be used: {reason}"))

    async def _reach(self) -> trio.abc.Stream:
        limits = self._limits
        try:
            with trio.fail_after(limits.connect_seconds):
                stream = await self._connect()
        except trio.TooSlowError:
            reason = f"no connection within {limits.connect_seconds:g} s"
        except (OSError, *STREAM_ERRORS) as error:
            reason = _reason(error)
        else:
            try:
                await handshake(stream, limits)
            except HandshakeError as error:
                reason = await self._explain(error)
            else:
                return stream
        raise RpcError(Status.UNAVAILABLE, f"{self._name} cannot be reached: {reason}")


async def _as_text(error: HandshakeError) -> str:
    return str(error)


def _reason(error: BaseException) -> str:
    """The innermost cause of an error, in the words of the operating system."""
    error = next(errors_in(error))
    while error.__cause__ is not None:
        error = next(errors_in(error.__cause__))
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
