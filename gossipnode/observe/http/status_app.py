"""What is answered at `[node] status_listen`."""

from __future__ import annotations

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gossipnode.observe.events import Events
from gossipnode.observe.http.request_guard import RequestGuard
from gossipnode.observe.metrics.node_metrics import CONTENT_TYPE, NodeMetrics
from gossipnode.observe.node_view import NodeView


class StatusApp:
    """Answers by a node and its events."""

    def __init__(self, view: NodeView, events: Events) -> None:
        """Count `events` from now on."""
        self._view = view
        self._metrics = NodeMetrics(view, events)

    def application(self, hosts: Collection[str]) -> Starlette:
        """The ASGI application, for requests to these host names."""
        return Starlette(
            routes=[
                Route("/livez", self._live),
                Route("/readyz", self._ready),
                Route("/metrics", self._metric_text),
            ],
            middleware=[Middleware(RequestGuard, hosts=hosts)],
        )

    async def _live(self, _: Request) -> Response:
        """Say that the process answers. A node whose store has failed stops by itself."""
        return PlainTextResponse("ok\n")

    async def _ready(self, _: Request) -> Response:
        problem = self._view.not_ready_because()
        return PlainTextResponse(f"{problem or 'ok'}\n", status_code=503 if problem else 200)

    async def _metric_text(self, _: Request) -> Response:
        return Response(await self._metrics.text(), media_type=CONTENT_TYPE)
