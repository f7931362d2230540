"""The port of `[node] status_listen`: who listens there, and what serves it.

Its libraries are imported only by a node that serves it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio

from gossipnode.config.address import Address
from gossipnode.node.parts import Parts
from gossipnode.node.shown.shown_node import ShownNode
from gossipnode.node.world import World
from gossipnode.observe.events import CallEnded
from gossipnode.rpc import Status


class StatusListenError(Exception):
    """The address of `status_listen` cannot be listened at; `reason` is what the system says."""

    def __init__(self, address: Address, reason: OSError) -> None:
        super().__init__(f"cannot listen at {address}: {reason}")
        self.address = address
        self.reason = reason


class StatusPort:
    """Listens for those who watch a node. Made by `open_status_port`."""

    def __init__(self, world: World, address: Address, listeners: Sequence[trio.abc.Listener[Any]]) -> None:
        self._world = world
        self._listeners = listeners
        self.address = world.network.bound(listeners, address)
        """Where it listens."""

    def call_ended(self, path: str, status: Status, seconds: float) -> None:
        """Tell of a call of the node's own port that has ended."""
        self._world.events.tell(CallEnded(path, status.name, seconds))

    async def serve(
        self,
        parts: Parts,
        connections: Callable[[], int],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answer what is asked of the node made of `parts`, until cancelled.

        `connections` counts those that are open to the node's own port.
        """
        from gossipnode.observe.http.status_app import StatusApp
        from gossipnode.observe.http.status_server import StatusServer
        from gossipnode.observe.http.tls_door import TlsDoor

        app = StatusApp(ShownNode(parts, connections), self._world.events)
        encrypted = parts.certificates.encrypted
        scheme = "https" if encrypted else "http"
        structlog.get_logger("gossipnode.status").info("status page", url=f"{scheme}://{self.address}/")
        server = StatusServer(
            app.application(None if encrypted else (self.address.host,)),
            TlsDoor(parts.certificates.web_context) if encrypted else None,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(app.live.run)
            await nursery.start(server.serve, self._listeners)
            task_status.started()


@asynccontextmanager
async def open_status_port(world: World, address: Address | None) -> AsyncGenerator[StatusPort | None]:
    """Listen at `status_listen` for as long as the block runs; None where that is not set.

    Raises:
        StatusListenError: that is not possible.
    """
    if address is None:
        yield None
        return
    try:
        listeners = await world.network.listen(address)
    except OSError as error:
        raise StatusListenError(address, error) from error
    try:
        yield StatusPort(world, address, listeners)
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)
