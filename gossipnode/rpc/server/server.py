"""The gRPC server: connections from listeners or single streams, calls to handlers.

Each connection has its own nursery, so that whatever goes wrong with a peer ends with that peer. Must never
run a handler before `authorize` has passed, nor accept more than its limits allow.
"""

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import trio

from gossipnode.rpc.http2 import frames
from gossipnode.rpc.http2.connection import Connection
from gossipnode.rpc.http2.headers import Fields, Head
from gossipnode.rpc.http2.reply_budget import ReplyBudget
from gossipnode.rpc.http2.stream import Stream
from gossipnode.rpc.http2.transport import HandshakeError, drive, handshake
from gossipnode.rpc.limits import Limits
from gossipnode.rpc.metadata import ACCEPTED_CONTENT_TYPES, parse_timeout, status_fields
from gossipnode.rpc.server.answer import AnyMethod, Handler, Observe, answer, judge, report
from gossipnode.rpc.server.calls import CallContext
from gossipnode.rpc.status import ConnectionFault, ErrorCodes, RpcError, Status, StreamFault
from gossipnode.rpc.tls import peer_dns_names

log = logging.getLogger("gossipnode.rpc")

Authorize = Callable[[CallContext], None]

# The process or the machine is out of something; accepting goes on when others have given it back.
_ACCEPT_RETRY = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])


class ServerConnection(Connection):
    """The server's role: header blocks open calls."""

    client = False

    def __init__(self, limits: Limits, start_call: Callable[[Stream, Head], None]) -> None:
        super().__init__(limits)
        self._start_call = start_call

    def knows(self, stream_id: int) -> bool:
        """A client's streams are odd, and seen in rising order."""
        return stream_id & 1 == 1 and stream_id <= self.highest_peer_stream_id

    def headers_malformed(self, stream_id: int) -> None:
        """Its stream is used up all the same."""
        if stream_id & 1:
            self.highest_peer_stream_id = max(self.highest_peer_stream_id, stream_id)

    def headers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        """A new call, or the trailers of a running one."""
        if stream_id <= self.highest_peer_stream_id:
            self._trailers_received(stream_id, head, end=end)
            return
        if not stream_id & 1:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, f"a client cannot open stream {stream_id}")
        if self.draining or self.closing:
            self.floods.idle_frame()
            self.write(frames.reset_frame(stream_id, ErrorCodes.REFUSED_STREAM))
            return  # above the last stream of our GOAWAY, which must not move
        self.highest_peer_stream_id = stream_id
        if len(self.streams) >= self.limits.max_streams_per_connection:
            raise StreamFault(ErrorCodes.REFUSED_STREAM, "too many streams")
        if ":method" not in head.pseudo or ":path" not in head.pseudo or ":status" in head.pseudo:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "not a request")
        stream = self.new_stream(stream_id)
        stream.head = head
        stream.remote_ended = end
        self._start_call(stream, head)

    def _trailers_received(self, stream_id: int, head: Head, *, end: bool) -> None:
        stream = self.streams.get(stream_id)
        if stream is None or stream.remote_ended:
            self.floods.idle_frame()
            return
        if not end or head.pseudo:
            raise StreamFault(ErrorCodes.PROTOCOL_ERROR, "a second header block that is no trailers")
        stream.trailers = head
        stream.remote_ended = True
        stream.reader.wake()

    def refuse(self, stream: Stream, fields: Fields, once: Sequence[tuple[str, str]] = ()) -> None:
        """Answer a call with header fields alone."""
        self.floods.reply(len(fields) * 32, len(self.out))
        self.write_headers(stream, fields, list(once), end=True)
        self.finish(stream)


class Server:
    """Serves `handlers` on any number of connections.

    A unary handler is `async (request, call) -> reply`; all others are `async (stream) -> None`. `authorize`
    runs before each handler and refuses by raising RpcError. `observe(path, status, seconds)` hears of every
    call that ended.
    """

    def __init__(
        self,
        handlers: Mapping[Any, Handler],
        *,
        limits: Limits | None = None,
        authorize: Authorize | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._handlers: dict[str, tuple[AnyMethod, Handler]] = {
            method.path: (method, handler) for method, handler in handlers.items()
        }
        self.limits = limits if limits is not None else Limits()
        self._authorize = authorize
        self._observe = observe
        self._connections: set[ServerConnection] = set()
        self._opening = 0
        self._draining = False
        self._accepting: set[trio.CancelScope] = set()
        self._all_closed = trio.Event()

    @property
    def connection_count(self) -> int:
        """Connections now open, those in their TLS handshake included."""
        return len(self._connections) + self._opening

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
        """Serve every connection of `listeners` until cancelled or drained; they are closed afterwards."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)
            task_status.started(listeners)

    async def _accept(self, listener: trio.abc.Listener[Any], nursery: trio.Nursery) -> None:
        with trio.CancelScope() as scope:
            self._accepting.add(scope)
            try:
                async with listener:
                    while not self._draining:
                        stream = await self._accept_one(listener)
                        if stream is not None:
                            nursery.start_soon(self.serve_stream, stream)
            except trio.ClosedResourceError:
                log.info("a listener was closed")
            finally:
                self._accepting.discard(scope)

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
        peer = peer_name(stream)
        if self._refuses(peer):
            await trio.aclose_forcefully(stream)
            return
        self._opening += 1
        try:
            await handshake(stream, self.limits)
        except HandshakeError as error:
            log.warning("connection of %s refused: %s", peer, error)
            return
        finally:
            self._opening -= 1
        if self._refuses(peer):
            await trio.aclose_forcefully(stream)
        else:
            await self._serve_connection(stream, peer, peer_dns_names(stream))

    def _refuses(self, peer: str) -> bool:
        if not self._draining and self.connection_count < self.limits.max_connections:
            return False
        log.warning("connection of %s refused: %d are open", peer, self.connection_count)
        return True

    async def _serve_connection(self, stream: trio.abc.Stream, peer: str, names: tuple[str, ...]) -> None:
        def start_call(rpc: Stream, head: Head) -> None:
            self._start_call(calls, connection, rpc, head, peer, names)

        connection = ServerConnection(self.limits, start_call)
        self._connections.add(connection)
        try:
            async with trio.open_nursery() as calls:
                await drive(connection, stream, peer)
                calls.cancel_scope.cancel()
        except Exception:
            # A defect of ours, but still the end of this connection only.
            log.exception("connection of %s ended by a defect", peer)
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._all_closed.set()

    def _start_call(
        self,
        calls: trio.Nursery,
        connection: ServerConnection,
        stream: Stream,
        head: Head,
        peer: str,
        names: tuple[str, ...],
    ) -> None:
        """Start the handler of a new call, or refuse it here and now."""
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
        try:
            call = _context(head, peer, names, connection.replies)
            if self._authorize is not None:
                self._authorize(call)
        except Exception as error:  # noqa: BLE001 - an authorizer that fails must not let anybody in
            refusal = error if isinstance(error, RpcError) else judge(error, entry[0].path)
            connection.refuse(stream, *status_fields(refusal.status, refusal.message or "", False))
            report(self._observe, entry[0].path, refusal.status, 0.0)
            return
        calls.start_soon(partial(answer, stream, *entry, call, self._observe), name=entry[0].path)

    async def drain(self, grace_seconds: float) -> None:
        """Stop accepting, let running calls end for up to `grace_seconds`, then close every connection.

        Clients hear of it by GOAWAY, finish what runs, and go elsewhere with what is new.
        """
        self._draining = True
        for scope in list(self._accepting):
            scope.cancel()
        if not self._connections:
            await trio.lowlevel.checkpoint()
            return
        self._all_closed = trio.Event()
        for connection in list(self._connections):
            connection.drain()
        with trio.move_on_after(grace_seconds):
            await self._all_closed.wait()
        for connection in list(self._connections):
            connection.close(ErrorCodes.NO_ERROR, "the server has stopped")
        with trio.move_on_after(self.limits.close_seconds * 2):
            while self._connections:
                await self._all_closed.wait()


def _context(head: Head, peer: str, names: tuple[str, ...], replies: ReplyBudget) -> CallContext:
    try:
        timeout = parse_timeout(head)
    except ValueError as error:
        raise RpcError(Status.INVALID_ARGUMENT, str(error)) from error
    if head.fields.get("grpc-encoding", "identity") != "identity":
        raise RpcError(Status.UNIMPLEMENTED, "compressed messages are not supported")
    deadline = None if timeout is None else trio.current_time() + timeout
    return CallContext(head.pseudo[":path"], head.metadata, peer, names, deadline, replies)


def peer_name(stream: trio.abc.Stream) -> str:
    """The peer's address as text, for logs and `CallContext.peer`."""
    inner: trio.abc.Stream = stream
    if isinstance(stream, trio.SSLStream):
        inner = cast("trio.SSLStream[trio.abc.Stream]", stream).transport_stream
    if not isinstance(inner, trio.SocketStream):
        return "memory"
    try:
        address: object = inner.socket.getpeername()
    except OSError:
        return "unknown"
    if isinstance(address, tuple):
        host, port = cast("tuple[str, int]", address[:2])
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address) or "unix"
