"""Carries HTTP between browsers and the application: hypercorn, one connection at a time handed to it.

We accept the connections ourselves, so that their number has a limit and each has a peer that is known.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Final, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp, Receive, Scope, Send

from gossipnode.concurrency.shares import Caller, Shares
from gossipnode.observe.http.bounded_stream import BoundedStream
from gossipnode.observe.http.role_guard import VISITOR_KEY
from gossipnode.observe.http.tls_door import TlsDoor
from gossipnode.observe.node_view import Visitor
from gossipnode.rpc.byte_stream import peer_dns_names, peer_host, peer_name

CONNECTIONS_MAX: Final = 256
"""Connections that are open at once. One more is closed at once. Under TLS one caller has half at most."""

ACCEPT_PAUSE_SECONDS: Final = 0.5
"""The pause after a connection could not be accepted, mostly because too many files are open."""

IDLE_SECONDS: Final = 10.0
"""How long a connection may be open without a request under way; also how long a request may take to come."""

REQUEST_HEAD_MAX_BYTES: Final = 16 << 10


class StatusServer:
    """Serves one application."""

    def __init__(self, app: ASGIApp, door: TlsDoor | None = None) -> None:
        """Have `app` answer, over TLS if there is a `door`. Nothing is accepted before `serve`."""
        self._app = app
        self._door = door
        self._shares = Shares(CONNECTIONS_MAX)
        self._config = _config()
        self._open: dict[BoundedStream, None] = {}
        self._log = structlog.get_logger("gossipnode.status")

    async def serve(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve what `listeners` accept, until cancelled. Whatever goes wrong here ends no more than this."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept, listener, nursery)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                for stream in self._open:
                    stream.cut()

    async def _accept(self, listener: trio.abc.Listener[Any], nursery: trio.Nursery) -> None:
        async with listener:
            while True:
                try:
                    stream: trio.abc.Stream = await listener.accept()
                except OSError as error:
                    self._log.warning("accepting a connection failed", reason=str(error))
                    await trio.sleep(ACCEPT_PAUSE_SECONDS)
                    continue
                nursery.start_soon(self._meet, stream)

    async def _meet(self, stream: trio.abc.Stream) -> None:
        """Serve a connection that was accepted, if there is room for it."""
        try:
            peer, address = peer_name(stream), peer_host(stream)
            names: tuple[str, ...] = ()
            if self._door is not None:
                secured = await self._door.let_in(stream)
                if secured is None:
                    return
                stream, names = secured, peer_dns_names(secured)
            visitor = Visitor(peer, names, self._caller(stream, address, names))
            if not self._shares.may_take(visitor.caller):
                return
            self._shares.take(visitor.caller)
            try:
                await self._serve_one(BoundedStream(stream), visitor)
            finally:
                self._shares.give_back(visitor.caller)
        except Exception:  # noqa: BLE001 - a defect, logged; it ends no more than this connection
            self._log.exception("a connection of the status port ended by a defect")
        finally:
            await trio.aclose_forcefully(stream)

    def _caller(self, stream: trio.abc.Stream, address: str, names: tuple[str, ...]) -> Caller:
        if names:
            return Caller(" ".join(sorted(names)))
        # On loopback without TLS, everybody has the same address: each connection is a caller of its own.
        return Caller(address if address and self._door is not None else f"connection {id(stream):x}")

    async def _serve_one(self, stream: BoundedStream, visitor: Visitor) -> None:
        use = _Use(self._app, visitor, "http" if self._door is None else "https")
        connection = TCPServer(
            ASGIWrapper(cast(ASGIFramework, use)),
            self._config,
            WorkerContext(None),
            ConnectionState({}),
            cast("trio.SSLStream[trio.SocketStream]", stream),
        )
        self._open[stream] = None
        try:
            with use.scope:
                await connection.run()
        finally:
            del self._open[stream]


class _Use:
    """The application, as one connection uses it, and the scope that ends the connection when it is idle.

    The library does so itself, but not for HTTP/2 connections that ask for nothing.
    """

    def __init__(self, app: ASGIApp, visitor: Visitor, scheme: str) -> None:
        self._app = app
        self._known = {VISITOR_KEY: visitor, "scheme": scheme}
        self._under_way = 0
        self.scope = trio.CancelScope(deadline=trio.current_time() + IDLE_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._under_way += 1
        self.scope.deadline = math.inf
        try:
            await self._app({**scope, **self._known}, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self.scope.deadline = trio.current_time() + IDLE_SECONDS


def _config() -> Config:
    return Config.from_mapping(
        keep_alive_timeout=IDLE_SECONDS,
        h11_max_incomplete_size=REQUEST_HEAD_MAX_BYTES,
        include_server_header=False,
        accesslog=None,
        # What the library has to say goes where our own lines go.
        errorlog=logging.getLogger("gossipnode.status"),
    )
