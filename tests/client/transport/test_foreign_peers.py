"""Peers that are no nodes, under Trio and under asyncio: they close, speak HTTP/1, or say nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gossipnode.client import (
    UnreachableError,
    connect,
)
from tests.client.support import WAIT_SECONDS, run, take


def close_at_once(peer: socket.socket) -> None:
    peer.close()


def talk_http_1(peer: socket.socket) -> None:
    peer.recv(100)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.close()


def never_answer(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass
    peer.close()


@contextmanager
def raw_peer(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener that is no node, and treats each connection with `behave`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_SECONDS)

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                peer.settimeout(WAIT_SECONDS)
                behave(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        # This ends the wait of the thread, which closing alone would not.
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(WAIT_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("behave", [close_at_once, talk_http_1, never_answer])
def test_somebody_who_is_no_node(backend: str, behave: Any) -> None:
    async def work(address: str) -> None:
        async with connect(address, timeout=0.5) as client:
            with pytest.raises(UnreachableError, match=address):
                await client.get("g", "n", "i")
            with pytest.raises(UnreachableError, match=address):
                await take(client.query("g"))

    with raw_peer(behave) as address:
        run(backend, work, address)


@pytest.mark.slow
def test_somebody_who_is_no_node_is_passed_over(backend: str, address: str) -> None:
    async def work(bad: str, silent: str) -> None:
        async with connect(bad, silent, address, timeout=1) as client:
            for number in range(10):
                await client.apply("g", "n", str(number), {"a": 1})
            assert len(await take(client.query("g", limit=50))) == 50

    with raw_peer(talk_http_1) as bad, raw_peer(never_answer) as silent:
        run(backend, work, bad, silent)
