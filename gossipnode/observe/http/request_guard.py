"""Lets in only requests that are meant for this node, and makes answers harmless to browsers.

A page of a foreign site may have its name resolve to our address (DNS rebinding), and then ask us with the
rights of the person at the browser. Its requests carry the foreign name as their Host, and are refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""Of every answer: nothing of another host is loaded, nothing that is shown can run, nothing is kept."""


class RequestGuard:
    """Stands in front of the application."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        """Let requests through to `app` that name one of `hosts`, which have no ports, or loopback.

        With None for `hosts` they may name any host. That is for TLS: a browser has then found the name in
        the certificate of this node, in which foreign sites have no part.
        """
        self._app = app
        self._hosts = None if hosts is None else frozenset((*LOOPBACK_NAMES, *map(str.lower, hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request by its headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._problem(Headers(scope=scope))
        answer = PlainTextResponse(f"{problem}\n", status_code=403) if problem else self._app
        await answer(scope, receive, send_guarded)

    def _problem(self, headers: Headers) -> str:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or (self._hosts is not None and host_name(hosts[0]) not in self._hosts):
            return "this is not a name of this node: ask it by the address of its status_listen"
        if any(origin.partition("://")[2].lower() != hosts[0].lower() for origin in origins):
            return "a page of another site asks"
        return ""


def host_name(host: str) -> str:
    """The name in a Host header, in small letters, without port and brackets; "" if it is broken."""
    if host.startswith("["):
        name, bracket, _ = host[1:].partition("]")
        return name.lower() if bracket else ""
    return host.partition(":")[0].lower()
