"""Moves the bytes of one connection over a Trio stream, and ends it when its time is over.

Reader, writer, keepalive and idle watch live in one nursery and end together. Must never let a peer's bytes
raise out of `drive`: what a peer does ends its own connection, with one line in the log.
"""

import logging
import ssl
from contextlib import suppress
from typing import cast

import trio

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import LOST, Connection
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.status import ConnectionFault, ErrorCodes, RpcError, Status

log = logging.getLogger("gossipnode.rpc")

STREAM_ERRORS = (trio.BrokenResourceError, trio.ClosedResourceError)


class HandshakeError(Exception):
    """TLS could not be agreed upon; the text says why, for a log or a user."""


async def handshake(stream: trio.abc.Stream, limits: Limits) -> None:
    """Complete the TLS handshake of `stream`, if it has one, and check that both speak HTTP/2.

    Before any reader or writer: a handshake begun lazily by one of them leaves the other hanging when it
    fails. Raises HandshakeError after `handshake_seconds` at the latest; the stream is then closed.
    """
    if not isinstance(stream, trio.SSLStream):
        return
    tls = cast("trio.SSLStream[trio.abc.Stream]", stream)
    try:
        await _handshake(tls, limits)
    except BaseException as error:
        if isinstance(error, HandshakeError):
            await _send_alert(tls, limits)
        await trio.aclose_forcefully(tls)
        raise


async def _send_alert(stream: "trio.SSLStream[trio.abc.Stream]", limits: Limits) -> None:
    """Tell the peer why. Trio leaves OpenSSL's alert unsent, and the peer would see no more than an end."""
    alert = stream._outgoing.read()  # pyright: ignore[reportPrivateUsage]
    if alert:
        with trio.move_on_after(limits.close_seconds), suppress(*STREAM_ERRORS):
            await stream.transport_stream.send_all(alert)


async def _handshake(stream: "trio.SSLStream[trio.abc.Stream]", limits: Limits) -> None:
    try:
        with trio.fail_after(limits.handshake_seconds):
            await stream.do_handshake()
    except trio.TooSlowError:
        raise HandshakeError(f"no TLS handshake within {limits.handshake_seconds:g} s") from None
    except (*STREAM_ERRORS, ssl.SSLError, OSError) as error:
        cause = error.__cause__ or error
        raise HandshakeError(f"TLS handshake failed: {cause}") from error
    if stream.selected_alpn_protocol() != "h2":
        raise HandshakeError("the peer does not offer HTTP/2 (ALPN h2)")


class _Driver:
    def __init__(self, connection: Connection, stream: trio.abc.Stream, peer: str) -> None:
        self.connection = connection
        self.stream = stream
        self.peer = peer
        self.limits = connection.limits
        self.scope = trio.CancelScope()
        self.sending = False
        self.heard_at = trio.current_time()
        self.loss = ""
        connection.on_closing = self.closing

    def closing(self) -> None:
        """A connection that closes has so long to write its last bytes."""
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.limits.close_seconds)

    async def read(self) -> None:
        connection, read_bytes = self.connection, self.limits.read_bytes
        receive = self.stream.receive_some
        while data := await receive(read_bytes):
            if connection.closing:
                continue  # read on, or the kernel may drop our GOAWAY with the connection
            self.heard_at = trio.current_time()
            try:
                connection.receive(bytes(data))
            except ConnectionFault as fault:
                log.info("connection of %s ended: %s (%s)", self.peer, fault, fault.code.name)
                connection.close(fault.code, str(fault))

    async def write(self) -> None:
        connection, gather_bytes = self.connection, self.limits.gather_bytes
        while True:
            while not connection.out:
                if connection.closing:
                    return
                await connection.writer.sleep()
            if len(connection.out) < gather_bytes and len(connection.streams) > 1:
                await trio.lowlevel.checkpoint()  # others may be about to add to it
            await trio.lowlevel.checkpoint_if_cancelled()  # while what is queued can still be sent otherwise
            data, connection.out = connection.out, bytearray()
            self.sending = True
            await self.stream.send_all(data)
            self.sending = False
            connection.written()

    async def read_to_the_end(self) -> None:
        try:
            await self.read()
        except STREAM_ERRORS as error:
            if isinstance(error.__cause__, ssl.SSLError):
                # In TLS 1.3 a server refuses a client's certificate after the handshake: say so.
                self.loss = f": {error.__cause__.reason or error.__cause__}"
                log.warning("connection of %s was lost%s", self.peer, self.loss)
        self.scope.cancel()

    async def write_to_the_end(self) -> None:
        with suppress(*STREAM_ERRORS):
            await self.write()
            if isinstance(self.stream, trio.abc.HalfCloseableStream):
                await self.stream.send_eof()
                return  # the reader ends at the peer's end, or with `close_seconds`
        self.scope.cancel()

    async def keep_alive(self) -> None:
        """Ask a silent peer for a sign of life while calls depend on it.

        A peer that answers, but sends nothing else, is soon asked less often: stock servers count pings that
        come faster than every five minutes without other traffic, and close the connection at the third.
        """
        connection, limits = self.connection, self.limits
        answered = 0
        while True:
            heard_at = self.heard_at
            quiet = answered >= limits.keepalive_quick_pings
            due = heard_at + (limits.keepalive_quiet_seconds if quiet else limits.keepalive_seconds)
            if not connection.streams or due > trio.current_time():
                await trio.sleep_until(max(due, trio.current_time() + limits.keepalive_timeout_seconds))
                if self.heard_at > heard_at:
                    answered = 0
                continue
            connection.write(frames.frame(frames.PING, 0, 0, bytes(8)))
            asked_at = trio.current_time()
            await trio.sleep(limits.keepalive_timeout_seconds)
            if self.heard_at < asked_at:
                log.info("connection of %s ended: no answer to keepalive", self.peer)
                connection.fail_streams(RpcError(Status.UNAVAILABLE, "no answer to keepalive"))
                self.scope.cancel()
            answered += 1

    async def watch_idle(self) -> None:
        """Close what never became an HTTP/2 connection, and what nobody has used for long."""
        connection, limits = self.connection, self.limits
        await trio.sleep(limits.handshake_seconds)
        if not connection.settings_received:
            log.info("connection of %s ended: no SETTINGS", self.peer)
            connection.close(ErrorCodes.SETTINGS_TIMEOUT, "no SETTINGS")
        while not connection.client:
            left = connection.idle_since + limits.idle_seconds - trio.current_time()
            if not connection.streams and left <= 0:
                log.debug("connection of %s ended: idle", self.peer)
                connection.close(ErrorCodes.NO_ERROR, "idle")
                return
            await trio.sleep(limits.idle_seconds if connection.streams else left)

    async def say_goodbye(self) -> None:
        """Cancelled from outside: GOAWAY, unless another frame is half written."""
        self.connection.close()
        if not self.sending and self.connection.out:
            with trio.move_on_after(self.limits.close_seconds) as scope, suppress(*STREAM_ERRORS):
                scope.shield = True
                await self.stream.send_all(self.connection.out)


async def drive(connection: Connection, stream: trio.abc.Stream, peer: str) -> None:
    """Run `connection` over `stream` until either side ends it; the stream is closed afterwards.

    The handshake is the caller's. Raises nothing for what the peer does.
    """
    driver = _Driver(connection, stream, peer)
    try:
        with driver.scope:
            async with trio.open_nursery() as nursery:
                connection.start()
                nursery.start_soon(driver.write_to_the_end)
                nursery.start_soon(driver.keep_alive)
                nursery.start_soon(driver.watch_idle)
                await driver.read_to_the_end()
    finally:
        connection.fail_streams(RpcError(Status.UNAVAILABLE, LOST + driver.loss))
        await driver.say_goodbye()
        connection.out = bytearray()
        connection.on_closing = lambda: None
        await trio.aclose_forcefully(stream)
