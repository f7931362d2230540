"""The gRPC server: connections from listeners or single streams, calls to handlers.

Each connection has its own nursery, so whatever goes wrong with a peer ends with that peer. Must never run a
handler before `authorize` has passed, nor accept more than its limits allow.
"""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.concurrency.shares import Caller
from gossipnode.rpc.byte_stream import HandshakeError, handshake, peer_dns_names, peer_host, peer_name
from gossipnode.rpc.head import Head
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.driver import drive
from gossipnode.rpc.http2.http2_faults import ErrorCodes
from gossipnode.rpc.http2.server_connection import ServerConnection
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.log import log
from gossipnode.rpc.metadata import ACCEPTED_CONTENT_TYPES, ACCEPTED_ENCODINGS, parse_timeout, status_fields
from gossipnode.rpc.repeated_lines import RepeatedLines
from gossipnode.rpc.server.answer import AnyMethod, Handler, Observe, answer, judge, report
from gossipnode.rpc.server.calls import CallContext
from gossipnode.rpc.server.connection_slots import ConnectionSlots, HandshakeSlot, Slot
from gossipnode.rpc.server.reply_budget import ReplyBudget
from gossipnode.rpc.status import RpcError, Status

Authorize = Callable[[CallContext], None]
IsMember = Callable[[Sequence[str]], bool]

# The process or the machine has run out of a resource: accepting pauses, so that some of it can come back.
_ACCEPT_RETRY: Final = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
# A connection that closes writes its last bytes, and then says goodbye, each within `Limits.close_seconds`.
_CLOSING_STEPS: Final = 2

_REFUSED_ENCODING: Final = status_fields(Status.UNIMPLEMENTED, "unknown compression", False)
_UNKNOWN_ENCODING: Final = (
    _REFUSED_ENCODING[0],
    [("grpc-accept-encoding", ",".join(ACCEPTED_ENCODINGS)), *_REFUSED_ENCODING[1]],
)


@dataclass(frozen=True, slots=True)
class _Client:
    """What all calls of one connection have in common: who calls, and what it has still to take."""

    name: str
    certificate_names: tuple[str, ...]
    replies: ReplyBudget
    notes: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class _Ending:
    """Ends a connection that gives way to another one."""

    connection: ServerConnection
    scope: trio.CancelScope

    def cancel(self) -> None:
        """Say goodbye, and end it. A call that is on its way was never processed, and its client knows."""
        self.connection.close(ErrorCodes.NO_ERROR, "the connection made room for another one")
        self.scope.cancel()


class Server:
    """Serves `handlers` on any number of connections.

    A unary handler is `async (request, call) -> reply`; every other one is `async (stream) -> None`.
    `authorize` runs before each handler and refuses by raising RpcError. `observe(path, status, seconds)` is
    called for every call that has ended. `is_member` tells by the DNS names of a certificate for whom room is
    kept when connections are many. `memory` is the budget of the process, if others share it. `waited()`
    gives how many seconds what is read now may have been waiting unread, because the process stood still.
    """

    def __init__(
        self,
        handlers: Mapping[Any, Handler],
        *,
        limits: Limits | None = None,
        authorize: Authorize | None = None,
        observe: Observe | None = None,
        is_member: IsMember | None = None,
        memory: MemoryBudget | None = None,
        waited: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._handlers: dict[str, tuple[AnyMethod, Handler]] = {
            method.path: (method, handler) for method, handler in handlers.items()
        }
        self.limits = limits if limits is not None else Limits()
        self._memory = memory if memory is not None else MemoryBudget()
        self._waited = waited
        self._authorize = authorize
        self._observe = observe
        self._connections: dict[ServerConnection, None] = {}
        self._is_member = is_member
        self._slots = ConnectionSlots(self.limits, keep_for_members=is_member is not None)
        self._refused = RepeatedLines()
        self._draining = False
        self._accepting: dict[trio.CancelScope, None] = {}
        self._all_closed = trio.Event()

    @property
    def connection_count(self) -> int:
        """Connections now open, including those in their TLS handshake."""
        return len(self._slots)

    @property
    def call_count(self) -> int:
        """Calls now running."""
        return sum(len(connection.streams) for connection in self._connections)

    async def serve(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[Sequence[trio.abc.Listener[Any]]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve what `listeners` accept until cancelled or drained; the listeners are closed afterwards."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)
            task_status.started(listeners)

    async def _accept(self, listener: trio.abc.Listener[Any], nursery: trio.Nursery) -> None:
        with trio.CancelScope() as scope:
            self._accepting[scope] = None
            try:
                async with listener:
                    while not self._draining:
                        stream = await self._accept_one(listener)
                        if stream is not None:
                            nursery.start_soon(self.serve_stream, stream)
            except trio.ClosedResourceError:
                log.info("a listener was closed")
            finally:
                self._accepting.pop(scope, None)

    async def _accept_one(self, listener: trio.abc.Listener[Any]) -> trio.abc.Stream | None:
        try:
            stream: trio.abc.Stream = await listener.accept()
        except OSError as error:
            log.warning("accepting a connection failed: %s", error)
            if error.errno in _ACCEPT_RETRY:
                await trio.sleep(self.limits.accept_pause_seconds)
            return None
        return stream

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until either side ends it. Raises nothing for what the peer does."""
        peer, address = peer_name(stream), peer_host(stream)
        with trio.CancelScope() as scope:
            if not await self._open(stream, peer, HandshakeSlot(address, scope)):
                await trio.aclose_forcefully(stream)
                return
            names = peer_dns_names(stream)
            if self._is_member is not None and self._is_member(names):
                caller = Caller(" ".join(sorted(names)), member=True)
            else:
                # Peers without an address, such as those in memory, are callers of their own.
                caller = Caller(address or f"connection {id(stream):x}")
            await self._serve_connection(stream, peer, names, caller, scope)
        if scope.cancelled_caught:
            log.info("connection of %s ended: it made room for another one", peer)
            await trio.aclose_forcefully(stream)

    async def _open(self, stream: trio.abc.Stream, peer: str, slot: HandshakeSlot) -> bool:
        if self._draining:
            log.warning("connection of %s refused: the server is stopping", peer)
            return False
        self._slots.begin_handshake(slot)
        try:
            await handshake(stream, self.limits, to_plain=frames.TLS_ALERT)
        except HandshakeError as error:
            again = self._refused.due(slot.address, str(error), trio.current_time())
            if again is not None:
                log.warning("connection of %s refused: %s%s", peer, error, again)
            return False
        finally:
            self._slots.end_handshake(slot)
        return not self._draining

    async def _serve_connection(
        self,
        stream: trio.abc.Stream,
        peer: str,
        names: tuple[str, ...],
        caller: Caller,
        scope: trio.CancelScope,
    ) -> None:
        def start_call(call_stream: Stream, head: Head) -> None:
            self._start_call(calls, connection, call_stream, head, client)

        memory = self._memory.account("connections", caller)
        client = _Client(peer, names, ReplyBudget(self.limits.max_unsent_reply_bytes, memory))
        connection = ServerConnection(self.limits, trio.current_time, memory, start_call)
        slot = Slot(caller, _Ending(connection, scope), connection)
        if not self._slots.admit(slot):
            memory.close()
            log.warning("connection of %s refused: %d are open", peer, self.connection_count)
            await trio.aclose_forcefully(stream)
            return
        self._connections[connection] = None
        try:
            async with trio.open_nursery() as calls:
                await drive(connection, stream, peer)
                calls.cancel_scope.cancel()
        except Exception:
            # A defect of ours, but it ends no more than this connection.
            log.exception("connection of %s ended by a defect", peer)
        finally:
            self._slots.release(slot)
            connection.requests.close()
            memory.close()
            self._connections.pop(connection, None)
            if not self._connections:
                self._all_closed.set()

    def _start_call(
        self,
        calls: trio.Nursery,
        connection: ServerConnection,
        stream: Stream,
        head: Head,
        client: _Client,
    ) -> None:
        """Start the handler of a new call, or refuse the call at once."""
        if head.pseudo[":method"] != "POST":
            connection.refuse(stream, ((b":status", b"405"),))
            return
        if head.fields.get("content-type", "").partition(";")[0].strip() not in ACCEPTED_CONTENT_TYPES:
            connection.refuse(stream, ((b":status", b"415"),))
            return
        entry = self._handlers.get(head.pseudo[":path"])
        if entry is None:
            connection.refuse(stream, *status_fields(Status.UNIMPLEMENTED, "unknown method", False))
            return
        if head.fields.get("grpc-encoding", "identity") not in ACCEPTED_ENCODINGS:
            connection.refuse(stream, *_UNKNOWN_ENCODING)
            return
        try:
            call = _context(head, client, self._waited())
            if self._authorize is not None:
                self._authorize(call)
        except Exception as error:  # noqa: BLE001 - an authorizer that fails must not let anybody in
            refusal = error if isinstance(error, RpcError) else judge(error, entry[0].path)
            connection.refuse(stream, *status_fields(refusal.status, refusal.message or "", False))
            report(self._observe, entry[0].path, refusal.status, 0.0)
            return
        run = partial(answer, connection, stream, *entry, call, self._observe)
        calls.start_soon(run, name=entry[0].path)

    def _end_endless(self, connection: ServerConnection) -> None:
        for stream in list(connection.streams.values()):
            head = stream.head
            assert head is not None, "a server's stream begins with its head"
            if self._handlers[head.pseudo[":path"]][0].endless:
                stream.end_with(RpcError(Status.UNAVAILABLE, "the server is stopping"))

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting, let running calls end for up to `grace_seconds`, then close every connection.

        Calls of endless methods are answered with UNAVAILABLE at once: they would not end by themselves.
        GOAWAY tells the clients: they finish the calls that run, and take new calls elsewhere.
        """
        self._draining = True
        for scope in list(self._accepting):
            scope.cancel()
        if not self._connections:
            await trio.lowlevel.checkpoint()
            return
        self._all_closed = trio.Event()
        for connection in list(self._connections):
            self._end_endless(connection)
            connection.drain()
        with trio.move_on_after(grace_seconds):
            await self._all_closed.wait()
        for connection in list(self._connections):
            connection.close(ErrorCodes.NO_ERROR, "the server has stopped")
        with trio.move_on_after(self.limits.close_seconds * _CLOSING_STEPS):
            while self._connections:
                await self._all_closed.wait()


def _context(head: Head, client: _Client, waited_seconds: float) -> CallContext:
    try:
        timeout = parse_timeout(head)
    except ValueError as error:
        raise RpcError(Status.INVALID_ARGUMENT, str(error)) from error
    if timeout is not None and timeout <= waited_seconds:
        raise RpcError(Status.DEADLINE_EXCEEDED, "the deadline had passed before the call began")
    deadline = None if timeout is None else trio.current_time() + timeout - waited_seconds
    return CallContext(
        head.pseudo[":path"],
        head.metadata,
        client.name,
        client.certificate_names,
        deadline,
        client.replies,
        client.notes,
    )
