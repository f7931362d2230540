"""Handshakes that do not end well: at neither end may they hang, or lead to a connection."""

import logging
import ssl

import pytest
import trio
import trio.testing

from gossipnode.rpc import Channel, Limits, RpcError, Server
from gossipnode.rpc.byte_stream import peer_dns_names, peer_name, send
from gossipnode.rpc.tls import client_ssl_context, server_ssl_context
from tests.rpc.certificates import tls_server
from tests.rpc.methods import UNARY, echo


async def test_peer_without_http2(files, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    context = ssl.create_default_context(cafile=str(files.ca_file))
    async with tls_server(files, require_client=False) as (port, _):
        stream = trio.SSLStream(
            await trio.open_tcp_stream("127.0.0.1", port),
            context,
            server_hostname="localhost",
            https_compatible=True,
        )
        await stream.do_handshake()
        assert await stream.receive_some(100) == b""
        await trio.aclose_forcefully(stream)
    assert "ALPN" in caplog.text


async def test_handshake_that_hangs(files, autojump_clock, caplog):
    """On memory streams, for virtual time: neither side may wait for ever."""
    limits = Limits(handshake_seconds=9)
    server = Server({UNARY: echo}, limits=limits)
    context = server_ssl_context(files.ca_file, *files.certificate("localhost"), require_client=False)
    async with trio.open_nursery() as nursery:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, trio.SSLStream(theirs, context, server_side=True))
        await trio.sleep(8)
        assert server.connection_count == 1
        await trio.sleep(2)
        assert server.connection_count == 0
        await trio.aclose_forcefully(ours)

        async def connect():
            await trio.lowlevel.checkpoint()
            ours, _ = trio.testing.memory_stream_pair()
            return trio.SSLStream(ours, client_ssl_context(files.ca_file), server_hostname="localhost")

        async with Channel(connect, limits=limits) as channel:
            with pytest.raises(RpcError, match="no TLS handshake within 9 s"):
                await channel.unary(UNARY, b"x", timeout=100)


async def test_a_peer_is_named_by_its_address():
    ours, _ = trio.testing.memory_stream_pair()
    assert peer_name(ours) == "memory"
    assert peer_dns_names(ours) == ()
    left, right = trio.socket.socketpair()
    with left, right:
        assert peer_name(trio.SocketStream(left)) == "unix"
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener, await trio.open_tcp_stream("127.0.0.1", port) as stream:
        assert peer_name(stream) == f"127.0.0.1:{port}"
    assert peer_name(stream) == "unknown"


async def test_what_a_socket_takes_at_once_is_sent_without_a_turn_of_the_loop():
    left, right = trio.socket.socketpair()
    turns = []

    async def other():
        while True:
            turns.append("other")
            await trio.lowlevel.checkpoint()

    with left, right:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await send(trio.SocketStream(left), bytearray(b"some bytes"))
            assert turns == []
            nursery.cancel_scope.cancel()
        assert await right.recv(100) == b"some bytes"


async def test_what_a_socket_does_not_take_at_once_is_waited_for():
    data = bytes(range(256)) * (4 << 20 >> 8)
    left, right = trio.socket.socketpair()
    received = bytearray()

    async def receive():
        while part := await right.recv(1 << 16):
            received.extend(part)

    with left, right:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            stream = trio.SocketStream(left)
            await send(stream, data)
            await stream.send_eof()
        assert received == data
        with pytest.raises(trio.BrokenResourceError):
            await send(stream, b"more")
    with pytest.raises(trio.ClosedResourceError):
        await send(stream, b"more")


async def test_other_streams_are_sent_to_as_they_wish():
    ours, theirs = trio.testing.memory_stream_pair()
    await send(ours, b"some bytes")
    assert await theirs.receive_some(100) == b"some bytes"
