"""Moves the bytes of one connection over a Trio stream, and ends it when its time is over.

Reader, writer, keepalive and idle watch live in one nursery and end together. Must never let a peer's bytes
raise out of `drive`: what a peer does ends its own connection, with one line in the log.
"""

import re
import ssl
from contextlib import suppress
from typing import Final

import trio

from gossipnode.concurrency.loop_turns import loop_turns
from gossipnode.concurrency.waker import Waker
from gossipnode.rpc import byte_stream
from gossipnode.rpc.byte_stream import STREAM_ERRORS
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import Connection
from gossipnode.rpc.http2.http2_faults import ConnectionFault, ErrorCodes
from gossipnode.rpc.log import log
from gossipnode.rpc.status import RpcError, Status

# Frames are only cut apart and kept, so this number of their bytes costs as much as one that is decoded.
_READ_BYTES_OF_ONE: Final = 4
# While others wait for a turn of the loop, what was read is taken in portions of this size.
_CROWDED_READ_BYTES: Final = 4096


# Alerts of TLS, as OpenSSL names them, by which a server refuses our certificate. None is about its own.
_OF_OUR_CERTIFICATE: Final = re.compile("ALERT_.*(CERTIFICATE|UNKNOWN_CA)")


class _Driver:
    """The tasks of one connection, and what they tell each other."""

    def __init__(self, connection: Connection, stream: trio.abc.Stream, peer: str) -> None:
        self.connection = connection
        self.stream = stream
        self.peer = peer
        self.limits = connection.limits
        self.scope = trio.CancelScope()
        self.writer = Waker()
        self.sending = False
        self.heard_at = trio.current_time()
        self.loss = ""
        connection.writer = self.writer
        connection.on_closing = self.closing

    def closing(self) -> None:
        """The connection closes: it has `close_seconds` to write its last bytes."""
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + self.limits.close_seconds)

    async def read(self) -> None:
        """Hand the peer's bytes to the connection until the stream ends."""
        connection, read_bytes = self.connection, self.limits.read_bytes
        turns, caller = loop_turns(), self.connection.memory.caller
        receive = self.stream.receive_some
        while data := await receive(read_bytes):
            if connection.closing:
                continue  # read on: with unread bytes, the kernel could drop our GOAWAY with the connection
            self.heard_at = trio.current_time()
            step = _CROWDED_READ_BYTES if turns.full else read_bytes
            try:
                for at in range(0, len(data), step):
                    part = bytes(data[at : at + step])
                    await turns.spend(caller, len(part) // _READ_BYTES_OF_ONE)
                    connection.receive(part)
                    while connection.crowded and not connection.closing:
                        await trio.lowlevel.checkpoint()
                        connection.resume()
            except ConnectionFault as fault:
                log.info("connection of %s ended: %s (%s)", self.peer, fault, fault.code.name)
                connection.close(fault.code, str(fault))

    async def write(self) -> None:
        """Send what the connection queues until it has closed."""
        connection, gather_bytes = self.connection, self.limits.gather_bytes
        while True:
            while not connection.out:
                if connection.closing:
                    return
                await self.writer.sleep()
            if len(connection.out) < gather_bytes and len(connection.streams) > 1:
                await trio.lowlevel.checkpoint()  # other streams may be about to add to it
            # A cancellation must come before the bytes leave `out`, from where `say_goodbye` can send them.
            await trio.lowlevel.checkpoint_if_cancelled()
            data, connection.out = connection.out, bytearray()
            self.sending = True
            connection.memory.take(len(data))
            await byte_stream.send(self.stream, data)
            connection.memory.give_back(len(data))
            self.sending = False
            connection.written()

    async def read_to_the_end(self) -> None:
        """Read, and end the connection when the stream has ended or broken."""
        try:
            await self.read()
        except STREAM_ERRORS as error:
            if isinstance(error.__cause__, ssl.SSLError):
                # In TLS 1.3 a server refuses a client's certificate only after the handshake: say so.
                reason = str(error.__cause__.reason or error.__cause__)
                if self.connection.client and _OF_OUR_CERTIFICATE.search(reason):
                    reason = f"{reason}: it refuses our certificate"
                self.loss = f": {reason}"
                if not self._refused(reason):
                    log.warning("connection of %s was lost: %s", self.peer, reason)
        self.scope.cancel()

    def _refused(self, reason: str) -> bool:
        """Note that a server takes us in no more. The channel tells of it, as it tells of failed dials."""
        refused = self.connection.client and not self.connection.settings_received
        if refused:
            self.connection.refusal = reason
        return refused

    async def write_to_the_end(self) -> None:
        """Write, and end our half of the stream, or the whole connection if that is not possible."""
        with suppress(*STREAM_ERRORS):
            await self.write()
            if isinstance(self.stream, trio.abc.HalfCloseableStream):
                await self.stream.send_eof()
                return  # the reader ends when the peer ends its half, or after `close_seconds`
        self.scope.cancel()

    async def keep_alive(self) -> None:
        """Ping a silent peer while calls depend on it, and end the connection if it does not answer.

        A peer that answers, but sends nothing else, is soon pinged less often: stock servers count pings that
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
            connection.write(frames.frame(frames.PING, 0, 0, bytes(frames.PING_BYTES)))
            asked_at = trio.current_time()
            await trio.sleep(limits.keepalive_timeout_seconds)
            if self.heard_at < asked_at:
                log.info("connection of %s ended: no answer to keepalive", self.peer)
                connection.fail_streams(RpcError(Status.UNAVAILABLE, "no answer to keepalive"))
                self.scope.cancel()
            answered += 1

    async def watch_idle(self) -> None:
        """Close a connection that never became HTTP/2, and at the server one that was idle for too long."""
        connection, limits = self.connection, self.limits
        await trio.sleep(limits.handshake_seconds)
        if not connection.settings_received:
            if not self._refused("no SETTINGS"):
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
        """Send GOAWAY before the stream is closed, unless another frame is half written."""
        self.connection.close()
        if not self.sending and self.connection.out:
            with trio.move_on_after(self.limits.close_seconds) as scope, suppress(*STREAM_ERRORS):
                scope.shield = True
                await self.stream.send_all(self.connection.out)


async def drive(
    connection: Connection,
    stream: trio.abc.Stream,
    peer: str,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run `connection` over `stream` until either side ends it; the stream is closed afterwards.

    Calls may be made once it has said that it has started.

    The caller must have done the TLS handshake. Raises nothing for what the peer does.
    """
    driver = _Driver(connection, stream, peer)
    try:
        with driver.scope:
            async with trio.open_nursery() as nursery:
                connection.start()
                task_status.started()
                nursery.start_soon(driver.write_to_the_end)
                nursery.start_soon(driver.keep_alive)
                nursery.start_soon(driver.watch_idle)
                await driver.read_to_the_end()
    finally:
        connection.fail_streams(RpcError(Status.UNAVAILABLE, f"the connection was lost{driver.loss}"))
        await driver.say_goodbye()
        connection.out = bytearray()
        connection.on_closing = lambda: None
        await trio.aclose_forcefully(stream)
