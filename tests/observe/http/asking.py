"""Asks an ASGI application as a server would, without any server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio
from starlette.types import ASGIApp


@dataclass
class Answer:
    """What the application answered, as far as it has."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def request_scope(path: str, *, host: str = "127.0.0.1:7480", method: str = "GET", **more: Any) -> Any:
    headers = [(b"host", host.encode())] if host else []
    headers += [(name.encode(), value.encode()) for name, value in more.pop("headers", {}).items()]
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 7480),
        "extensions": {},
        **more,
    }


async def ask(app: ASGIApp, path: str, **options: Any) -> Answer:
    """The answer to one request."""
    answer = Answer()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            for name, value in message["headers"]:
                assert name.decode() not in answer.headers, f"{name} is there twice"
                answer.headers[name.decode()] = value.decode()
        else:
            answer.body += message.get("body", b"")

    await app(request_scope(path, **options), receive, send)
    return answer
