"""Lets in only visitors who may see what a node shows of itself.

Who asks is put into the scope of each request by the server, which knows the connection. The node judges each
request: its members, and with them the roles of certificates, may change while a connection is open.
"""

from __future__ import annotations

from typing import Final, cast

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gossipnode.concurrency.shares import Caller
from gossipnode.observe.node_view import NodeView, Visitor

VISITOR_KEY: Final = "gossipnode.visitor"
"""Under this key the scope of a request holds its `Visitor`."""

_STRANGER: Final = Visitor("unknown", (), Caller("unknown"))


def visitor_of(scope: Scope) -> Visitor:
    """Who asks. If no server has said so, it is one without any certificate."""
    return cast(Visitor, scope.get(VISITOR_KEY, _STRANGER))


class RoleGuard:
    """Stands in front of the application, after the guard of requests."""

    def __init__(self, app: ASGIApp, view: NodeView) -> None:
        """Let requests through to `app` whose visitors `view` does not refuse."""
        self._app = app
        self._view = view

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request by who makes it."""
        problem = self._view.refusal(visitor_of(scope)) if scope["type"] == "http" else ""
        answer = PlainTextResponse(f"{problem}\n", status_code=403) if problem else self._app
        await answer(scope, receive, send)
