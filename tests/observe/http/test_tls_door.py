"""TLS at the status port: who gets in, and that nobody who does not keeps others out or fills the log."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing
import trustme

from gossipnode.config.address import Address
from gossipnode.observe.http import status_server
from gossipnode.observe.http.role_guard import VISITOR_KEY
from gossipnode.observe.http.status_server import StatusServer
from gossipnode.observe.http.tls_door import HANDSHAKE_SECONDS, HANDSHAKES_MAX, REFUSALS_TOLD_MAX, TlsDoor
from gossipnode.observe.node_view import Visitor
from gossipnode.rpc.tls import HTTP1, server_ssl_context
from gossipnode.sim import MemoryNetwork
from tests.rpc.certificates import Files

ADDRESS = Address("a", 7480)
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 "
REFUSED = "status connection refused"


class Web:
    """A status port on a network in memory, and visitors of it."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.network = MemoryNetwork()
        self.server_context = server_ssl_context(
            files.ca_file, *files.certificate("a"), require_client=True, protocols=HTTP1
        )
        self.server = StatusServer(self.app, TlsDoor(lambda: self.server_context))
        self.seen: list[dict[str, Any]] = []

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def visitor_context(self, name: str = "", ca: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.files.ca_file))
        if name:
            context.load_cert_chain(*self.files.certificate(name, ca))
        return context

    async def visit(self, context: ssl.SSLContext) -> trio.SSLStream[Any]:
        stream = await self.network.connect(ADDRESS)
        return trio.SSLStream(stream, context, server_hostname="a", https_compatible=True)

    async def fetch(self, context: ssl.SSLContext) -> bytes:
        """What a visitor is answered on a connection of its own."""
        async with await self.visit(context) as stream:
            await stream.send_all(REQUEST)
            return bytes(await stream.receive_some())

    async def alert(self, context: ssl.SSLContext) -> str:
        """The alert by which a visitor is refused."""
        stream = await self.visit(context)
        # In TLS 1.3 a visitor hears of its certificate after its own part of the handshake.
        await stream.do_handshake()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked()
        cause = caught.value.__cause__
        assert isinstance(cause, ssl.SSLError)
        return str(cause.reason)


@asynccontextmanager
async def serving(files: Files) -> AsyncIterator[Web]:
    web = Web(files)
    async with trio.open_nursery() as nursery:
        await nursery.start(web.server.serve, await web.network.listen(ADDRESS))
        yield web
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("web"))


async def test_the_application_learns_who_asks(files: Files, autojump_clock: object) -> None:
    async with serving(files) as web:
        assert (await web.fetch(web.visitor_context("dash-1"))).startswith(OK)
        (scope,) = web.seen
        assert scope["scheme"] == "https"
        visitor = scope[VISITOR_KEY]
        assert isinstance(visitor, Visitor)
        assert (visitor.certificate_names, visitor.caller.name) == (("dash-1",), "dash-1")


async def test_others_get_an_alert_and_one_line_each(files: Files, autojump_clock: object) -> None:
    async with serving(files) as web:
        without, foreign = web.visitor_context(), web.visitor_context("foreign", trustme.CA())
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                assert "CERTIFICATE_REQUIRED" in await web.alert(without)
                assert "UNKNOWN_CA" in await web.alert(foreign)
        assert web.seen == []
        lines = [(line["event"], line["log_level"]) for line in logs]
        assert lines == [(REFUSED, "warning")] * 2 + [(REFUSED, "debug")] * 4
        assert "did not return a certificate" in logs[0]["reason"]
        assert "verify failed" in logs[1]["reason"]
        assert (await web.fetch(web.visitor_context("dash-1"))).startswith(OK)


async def test_a_renewed_context_is_that_of_the_next_connection(files: Files, tmp_path: Path) -> None:
    async with serving(files) as web:
        known = web.visitor_context("dash-1")
        assert (await web.fetch(known)).startswith(OK)
        others = Files(tmp_path)
        web.server_context = server_ssl_context(
            others.ca_file, *files.certificate("a"), require_client=True, protocols=HTTP1
        )
        assert "UNKNOWN_CA" in await web.alert(known)


async def test_a_peer_that_speaks_no_tls_is_told_so(files: Files, autojump_clock: object) -> None:
    async with serving(files) as web:
        stream = await web.network.connect(ADDRESS)
        await stream.send_all(REQUEST)
        said = await stream.receive_some()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.endswith(b"this node has [tls]: ask it by https\n")


async def test_silence_ends_a_handshake(files: Files, autojump_clock: object) -> None:
    async with serving(files) as web:
        began = trio.current_time()
        stream = await web.network.connect(ADDRESS)
        assert await stream.receive_some() == b""
        assert trio.current_time() - began == pytest.approx(HANDSHAKE_SECONDS)


async def test_many_silent_connections_keep_nobody_out(files: Files, autojump_clock: object) -> None:
    async with serving(files) as web:
        began, silent = trio.current_time(), []
        for _ in range(HANDSHAKES_MAX + 1):
            silent.append(await web.network.connect(ADDRESS))
            await trio.testing.wait_all_tasks_blocked()
        assert await silent[0].receive_some() == b""
        assert (await web.fetch(web.visitor_context("dash-1"))).startswith(OK)
        assert trio.current_time() == began, "nobody waited for the end of a handshake"


async def test_what_is_remembered_of_refusals_is_bounded(files: Files) -> None:
    door = TlsDoor(lambda: ssl.create_default_context())
    with structlog.testing.capture_logs() as logs:
        for number in range(REFUSALS_TOLD_MAX + 1):
            door._tell(f"10.0.0.{number}", "no certificate")
        door._tell("10.0.0.1", "no certificate")
        door._tell("10.0.0.0", "no certificate")
    assert [line["log_level"] for line in logs[-3:]] == ["warning", "debug", "warning"]
    assert len(door._told) == REFUSALS_TOLD_MAX


async def test_one_caller_leaves_room_for_others(
    files: Files, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_server, "CONNECTIONS_MAX", 4)
    async with serving(files) as web:
        greedy, another = web.visitor_context("greedy"), web.visitor_context("another")
        for _ in range(2):
            kept = await web.visit(greedy)
            await kept.send_all(REQUEST)
            assert (await kept.receive_some()).startswith(OK)
        answer = b""
        with suppress(trio.BrokenResourceError):
            answer = await web.fetch(greedy)
        assert not answer
        assert (await web.fetch(another)).startswith(OK)
