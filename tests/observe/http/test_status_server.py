"""Connections of the status port end, whatever browsers and the application do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.config.address import Address
from gossipnode.observe.http import status_server
from gossipnode.observe.http.bounded_stream import SEND_SECONDS, BoundedStream
from gossipnode.observe.http.status_server import IDLE_SECONDS, StatusServer
from gossipnode.sim import MemoryNetwork

ADDRESS = Address("localhost", 1)
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """Sends until the browser is gone."""

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        nursery.cancel_scope.cancel()

    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_gone)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 4096, "more_body": True})
            await trio.lowlevel.checkpoint()


async def broken(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a defect")


@asynccontextmanager
async def serving(app: Any, network: MemoryNetwork) -> AsyncIterator[StatusServer]:
    server = StatusServer(app)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await network.listen(ADDRESS))
        yield server
        nursery.cancel_scope.cancel()


class Deaf(MemoryNetwork):
    """Its connections hold no byte that the other side has not read."""

    async def connect(self, address: Address) -> Any:
        near, far = trio.testing.lockstep_stream_pair()
        self._listeners[address].connections.send_nowait(far)
        return near


async def test_a_browser_that_never_reads_is_cut_off(autojump_clock: object) -> None:
    network = Deaf()
    async with serving(endless, network) as server:
        browser = await network.connect(ADDRESS)
        await browser.send_all(REQUEST)
        await trio.testing.wait_all_tasks_blocked()
        assert len(server._open) == 1
        await trio.sleep(2 * SEND_SECONDS + 1)
        assert not server._open


async def test_the_end_waits_for_no_browser(autojump_clock: object) -> None:
    network = Deaf()
    async with serving(endless, network):
        browsers = [await network.connect(ADDRESS) for _ in range(20)]
        for browser in browsers:
            await browser.send_all(REQUEST)
        await trio.testing.wait_all_tasks_blocked()
        ending = trio.current_time()
    assert trio.current_time() - ending < 1


async def test_a_connection_without_a_request_ends(autojump_clock: object) -> None:
    network = MemoryNetwork()
    async with serving(endless, network) as server:
        for said in (
            b"",
            b"GET / HT",
            b"\x16\x03\x01\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
        ):
            browser = await network.connect(ADDRESS)
            await browser.send_all(said)
        await trio.sleep(IDLE_SECONDS + 2)
        assert not server._open


async def test_a_defect_ends_one_request_and_no_more(autojump_clock: object) -> None:
    network = MemoryNetwork()
    async with serving(broken, network) as server:
        for _ in range(3):
            browser = await network.connect(ADDRESS)
            await browser.send_all(REQUEST)
            assert (await browser.receive_some()).startswith(b"HTTP/1.1 500")
            await browser.aclose()
        await trio.sleep(1)
        assert not server._open


async def test_connections_have_a_limit(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "CONNECTIONS_MAX", 2)
    network = MemoryNetwork()
    async with serving(endless, network) as server:
        browsers = [await network.connect(ADDRESS) for _ in range(3)]
        assert await browsers[2].receive_some() == b""
        assert len(server._open) == 2


async def test_nothing_is_sent_after_a_cut() -> None:
    near, far = trio.testing.memory_stream_pair()
    bounded = BoundedStream(near)
    await bounded.send_all(b"x")
    assert await far.receive_some() == b"x"
    bounded.cut()
    with pytest.raises(trio.BrokenResourceError):
        await bounded.send_all(b"y")
