"""What is answered at `[node] status_listen`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gossipnode.observe.events import Events
from gossipnode.observe.http.live_page import LivePage
from gossipnode.observe.http.recent_events import RecentEvents
from gossipnode.observe.http.request_guard import RequestGuard
from gossipnode.observe.http.role_guard import RoleGuard, visitor_of
from gossipnode.observe.metrics.node_metrics import CONTENT_TYPE, NodeMetrics
from gossipnode.observe.node_view import NodeView, PageQuery, QueryRefusedError

_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The status page: everything that it loads, by path."""


class StatusApp:
    """Answers by a node and its events."""

    def __init__(self, view: NodeView, events: Events) -> None:
        """Count and remember `events` from now on."""
        self._view = view
        self._metrics = NodeMetrics(view, events)
        recent = RecentEvents(view.now)
        events.listen(recent.keep)
        self.live = LivePage(view, recent)
        """What open pages are told; to be run."""

    def application(self, hosts: Collection[str] | None) -> Starlette:
        """The ASGI application, for requests to these host names; see `RequestGuard`."""
        return Starlette(
            routes=[
                Route("/livez", self._live),
                Route("/readyz", self._ready),
                Route("/metrics", self._metric_text),
                Route("/events", self._page_events),
                Route("/records", self._records),
                *[Route(path, _file(*what)) for path, what in _FILES.items()],
            ],
            middleware=[Middleware(RequestGuard, hosts=hosts), Middleware(RoleGuard, view=self._view)],
        )

    async def _live(self, _: Request) -> Response:
        """Say that the process answers. A node whose store has failed stops by itself."""
        return PlainTextResponse("ok\n")

    async def _ready(self, _: Request) -> Response:
        problem = self._view.not_ready_because()
        return PlainTextResponse(f"{problem or 'ok'}\n", status_code=503 if problem else 200)

    async def _metric_text(self, _: Request) -> Response:
        return Response(await self._metrics.text(), media_type=CONTENT_TYPE)

    async def _page_events(self, _: Request) -> ASGIApp:
        return self.live.stream

    async def _records(self, request: Request) -> Response:
        asked = PageQuery(*(request.query_params.get(key, "") for key in PageQuery._fields))
        try:
            found = await self._view.records(asked, visitor_of(request.scope).caller)
        except QueryRefusedError as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        return Response(json.dumps(found._asdict()), media_type="application/json")


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """What answers with a file of the page. It is read once."""
    content = files("gossipnode.observe.http").joinpath("page", name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer
