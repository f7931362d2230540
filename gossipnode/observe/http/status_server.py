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

from gossipnode.observe.http.bounded_stream import BoundedStream

CONNECTIONS_MAX: Final = 256
"""Connections that are open at once. One more is closed at once."""

ACCEPT_PAUSE_SECONDS: Final = 0.5
"""The pause after a connection could not be accepted, mostly because too many files are open."""

IDLE_SECONDS: Final = 10.0
"""How long a connection may be open without a request under way; also how long a request may take to come."""

REQUEST_HEAD_MAX_BYTES: Final = 16 << 10


class StatusServer:
    """Serves one application."""

    def __init__(self, app: ASGIApp) -> None:
        """Have `app` answer. Nothing is accepted before `serve`."""
        self._app = app
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
                if len(self._open) >= CONNECTIONS_MAX:
                    await trio.aclose_forcefully(stream)
                    continue
                bounded = BoundedStream(stream)
                self._open[bounded] = None
                nursery.start_soon(self._serve_one, bounded)

    async def _serve_one(self, stream: BoundedStream) -> None:
        use = _Use(self._app)
        connection = TCPServer(
            ASGIWrapper(cast(ASGIFramework, use)),
            self._config,
            WorkerContext(None),
            ConnectionState({}),
            cast("trio.SSLStream[trio.SocketStream]", stream),
        )
        try:
            with use.scope:
                await connection.run()
        except Exception:  # noqa: BLE001 - a defect, logged; it ends no more than this connection
            self._log.exception("a connection of the status port ended by a defect")
        finally:
            del self._open[stream]
            await trio.aclose_forcefully(stream)


class _Use:
    """The application, as one connection uses it, and the scope that ends the connection when it is idle.

    The library does so itself, but not for HTTP/2 connections that ask for nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0
        self.scope = trio.CancelScope(deadline=trio.current_time() + IDLE_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._under_way += 1
        self.scope.deadline = math.inf
        try:
            await self._app(scope, receive, send)
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
