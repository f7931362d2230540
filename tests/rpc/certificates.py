"""Certificates of a CA of our own, as files, and a server and channels that use them."""

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from gossipnode.rpc import Channel, RpcError, Server, Status
from gossipnode.rpc.tls import open_tls_stream, server_ssl_context, tls_listeners
from tests.rpc.methods import UNARY


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


@asynccontextmanager
async def tls_server(files, *, require_client, limits=None):
    seen = []

    async def handler(request, call):
        seen.append(call.peer_certificate_names)
        return request

    server = Server({UNARY: handler}, limits=limits)
    context = server_ssl_context(
        files.ca_file, *files.certificate("localhost"), require_client=require_client
    )
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(server.serve, tls_listeners(listeners, lambda: context))
        yield listeners[0].socket.getsockname()[1], seen
        nursery.cancel_scope.cancel()


def tls_channel(port, context, name="localhost"):
    return Channel(
        lambda: open_tls_stream("127.0.0.1", port, context, server_hostname=name),
        authority="localhost",
        scheme="https",
    )


async def failure_of(port, context, name="localhost") -> RpcError:
    async with tls_channel(port, context, name) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(UNARY, b"x", timeout=5)
    assert caught.value.status is Status.UNAVAILABLE
    return caught.value
