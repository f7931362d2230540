"""TLS and mutual TLS, over memory and loopback; who is let in, and who is told why not."""

import logging
import ssl
from contextlib import asynccontextmanager
from functools import partial

import grpc
import pytest
import trio
import trio.testing
import trustme

from gossipnode.rpc import Channel, Limits, RpcError, Server, Status
from gossipnode.rpc.tls import client_ssl_context, open_tls_stream, server_ssl_context, tls_listeners


class Files:
    """A CA, and certificates it signed, as files."""

    def __init__(self, path):
        self.ca = trustme.CA()
        self.path = path
        self.ca_file = path / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))

    def certificate(self, name, ca=None):
        issued = (ca or self.ca).issue_cert(name)
        cert, key = self.path / f"{name}.pem", self.path / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def tls_server(kit, files, *, require_client, limits=None):
    seen = []

    async def handler(request, call):
        seen.append(call.peer_certificate_names)
        return request

    server = Server({kit.UNARY: handler}, limits=limits)
    context = server_ssl_context(
        files.ca_file, *files.certificate("localhost"), require_client=require_client
    )
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(server.serve, tls_listeners(listeners, context))
        yield listeners[0].socket.getsockname()[1], seen
        nursery.cancel_scope.cancel()


def tls_channel(port, context, name="localhost"):
    return Channel(
        lambda: open_tls_stream("127.0.0.1", port, context, server_hostname=name),
        authority="localhost",
        scheme="https",
    )


async def failure_of(kit, port, context, name="localhost") -> RpcError:
    async with tls_channel(port, context, name) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(kit.UNARY, b"x", timeout=5)
    assert caught.value.status is Status.UNAVAILABLE
    return caught.value


async def test_tls_without_client_certificate(kit, files):
    async with tls_server(kit, files, require_client=False) as (port, seen):
        async with tls_channel(port, client_ssl_context(files.ca_file)) as channel:
            assert await channel.unary(kit.UNARY, b"x" * 100_000, timeout=5) == b"x" * 100_000
    assert seen == [()]


async def test_mutual_tls_names_the_client(kit, files):
    async with tls_server(kit, files, require_client=True) as (port, seen):
        context = client_ssl_context(files.ca_file, *files.certificate("node-c.cluster"))
        async with tls_channel(port, context) as channel:
            assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"
    assert seen == [("node-c.cluster",)]


async def test_clients_that_are_not_let_in(kit, files, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    stranger = files.certificate("stranger", trustme.CA())
    async with tls_server(kit, files, require_client=True) as (port, seen):
        error = await failure_of(kit, port, client_ssl_context(files.ca_file))
        assert "certificate required" in error.message.lower().replace("_", " ")
        await failure_of(kit, port, client_ssl_context(files.ca_file, *stranger))
        async with Channel(partial(trio.open_tcp_stream, "127.0.0.1", port)) as plain:
            with pytest.raises(RpcError):
                await plain.unary(kit.UNARY, b"x", timeout=5)
        context = client_ssl_context(files.ca_file, *files.certificate("node-c.cluster"))
        async with tls_channel(port, context) as channel:
            assert await channel.unary(kit.UNARY, b"x", timeout=5) == b"x"
    assert seen == [("node-c.cluster",)]
    assert caplog.text.count("TLS handshake failed") >= 3
    assert not [record for record in caplog.records if record.exc_info]


async def test_servers_that_are_not_trusted(kit, files, tmp_path):
    other = Files(tmp_path)
    async with tls_server(kit, files, require_client=False) as (port, seen):
        error = await failure_of(kit, port, client_ssl_context(other.ca_file))
        assert "certificate" in error.message
        error = await failure_of(kit, port, client_ssl_context(files.ca_file), "elsewhere")
        assert "elsewhere" in error.message
    assert seen == []


async def test_peer_without_http2(kit, files, caplog):
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    context = ssl.create_default_context(cafile=str(files.ca_file))
    async with tls_server(kit, files, require_client=False) as (port, _):
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


async def test_handshake_that_hangs(kit, files, autojump_clock, caplog):
    """On memory streams, for virtual time: neither side may wait for ever."""
    limits = Limits(handshake_seconds=9)
    server = Server({kit.UNARY: kit.echo}, limits=limits)
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
                await channel.unary(kit.UNARY, b"x", timeout=100)


def test_client_check_needs_a_ca(files):
    with pytest.raises(ValueError, match="CA"):
        server_ssl_context(None, *files.certificate("localhost"), require_client=True)


@pytest.mark.slow
async def test_stock_client_with_mutual_tls(kit, files):
    cert, key = files.certificate("stock.cluster")

    def client(port):
        credentials = grpc.ssl_channel_credentials(
            files.ca_file.read_bytes(), key.read_bytes(), cert.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            assert channel.unary_unary(kit.UNARY.path)(b"x", timeout=20) == b"x"

    async with tls_server(kit, files, require_client=True) as (port, seen):
        await trio.to_thread.run_sync(client, port)
    assert seen == [("stock.cluster",)]
