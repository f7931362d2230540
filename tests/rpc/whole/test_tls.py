"""TLS and mutual TLS over loopback: who is let in, and who is told why not."""

import logging
from functools import partial

import grpc
import pytest
import trio
import trio.testing
import trustme

from gossipnode.rpc import Channel, RpcError, Server
from gossipnode.rpc.http2 import frames
from gossipnode.rpc.status import SPEAKS_TLS
from gossipnode.rpc.tls import client_ssl_context, server_ssl_context, tls_listeners
from tests.rpc.certificates import Files, failure_of, tls_channel, tls_server
from tests.rpc.methods import UNARY


async def test_tls_without_client_certificate(files):
    async with tls_server(files, require_client=False) as (port, seen):
        async with tls_channel(port, client_ssl_context(files.ca_file)) as channel:
            assert await channel.unary(UNARY, b"x" * 100_000, timeout=5) == b"x" * 100_000
    assert seen == [()]


async def test_mutual_tls_names_the_client(files):
    async with tls_server(files, require_client=True) as (port, seen):
        context = client_ssl_context(files.ca_file, *files.certificate("node-c.cluster"))
        async with tls_channel(port, context) as channel:
            assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
    assert seen == [("node-c.cluster",)]


async def test_clients_that_are_not_let_in(files, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    stranger = files.certificate("stranger", trustme.CA())
    async with tls_server(files, require_client=True) as (port, seen):
        error = await failure_of(port, client_ssl_context(files.ca_file))
        assert "certificate required" in error.message.lower().replace("_", " ")
        await failure_of(port, client_ssl_context(files.ca_file, *stranger))
        async with Channel(partial(trio.open_tcp_stream, "127.0.0.1", port)) as plain:
            with pytest.raises(RpcError):
                await plain.unary(UNARY, b"x", timeout=5)
        context = client_ssl_context(files.ca_file, *files.certificate("node-c.cluster"))
        async with tls_channel(port, context) as channel:
            assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
    assert seen == [("node-c.cluster",)]
    assert caplog.text.count("TLS handshake failed") >= 3
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_client_that_tries_for_ever_does_not_fill_the_log(files, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    stranger = files.certificate("stranger", trustme.CA())
    async with tls_server(files, require_client=True) as (port, _):
        async with tls_channel(port, client_ssl_context(files.ca_file, *stranger)) as channel:
            for _ in range(10):
                with pytest.raises(RpcError):
                    await channel.unary(UNARY, b"x", timeout=5, dial_now=True)
    assert len([line for line in caplog.messages if "refuses our certificate" in line]) == 1
    # Each side says it once.
    assert len([line for line in caplog.messages if "refused: TLS handshake failed" in line]) == 1
    assert len([line for line in caplog.messages if "cannot be used" in line]) == 1
    assert not [line for line in caplog.messages if "was lost" in line]


async def test_servers_that_are_not_trusted(files, tmp_path):
    other = Files(tmp_path)
    async with tls_server(files, require_client=False) as (port, seen):
        error = await failure_of(port, client_ssl_context(other.ca_file))
        assert "certificate" in error.message
        error = await failure_of(port, client_ssl_context(files.ca_file), "elsewhere")
        assert "elsewhere" in error.message
    assert seen == []


def test_client_check_needs_a_ca(files):
    with pytest.raises(ValueError, match="CA"):
        server_ssl_context(None, *files.certificate("localhost"), require_client=True)


@pytest.mark.slow
async def test_stock_client_with_mutual_tls(files):
    cert, key = files.certificate("stock.cluster")

    def client(port):
        credentials = grpc.ssl_channel_credentials(
            files.ca_file.read_bytes(), key.read_bytes(), cert.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            assert channel.unary_unary(UNARY.path)(b"x", timeout=20) == b"x"

    async with tls_server(files, require_client=True) as (port, seen):
        await trio.to_thread.run_sync(client, port)
    assert seen == [("stock.cluster",)]


async def test_a_client_without_tls_is_told_why(files):
    async with tls_server(files, require_client=True) as (port, seen):
        async with Channel(partial(trio.open_tcp_stream, "127.0.0.1", port)) as channel:
            with pytest.raises(RpcError) as caught:
                await channel.unary(UNARY, b"x", timeout=5)
        assert caught.value.message.endswith(SPEAKS_TLS)
        assert caught.value.never_processed
        assert seen == []


async def test_one_that_speaks_neither_tls_nor_http_is_let_go(files):
    async with tls_server(files, require_client=True) as (port, _):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        said = b""
        while data := await stream.receive_some():
            said += data
        assert said == frames.TLS_ALERT
        await stream.aclose()


async def test_a_connection_has_the_context_of_its_moment(files):
    contexts = [
        server_ssl_context(None, *files.certificate(name), require_client=False) for name in ("old", "new")
    ]
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        present = iter(contexts)
        served = tls_listeners(listeners, lambda: next(present))
        await nursery.start(Server({UNARY: echo}).serve, served)
        port = listeners[0].socket.getsockname()[1]
        for name in ("old", "new"):
            async with tls_channel(port, client_ssl_context(files.ca_file), name) as channel:
                assert await channel.unary(UNARY, b"x", timeout=5) == b"x"
        nursery.cancel_scope.cancel()


async def echo(request, call):
    return request
