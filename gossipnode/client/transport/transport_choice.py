"""Chooses the transport that fits the library, Trio or asyncio, that runs the calling task."""

from __future__ import annotations

from ssl import SSLContext

import sniffio

from gossipnode.client.transport.transport_protocol import OpenTransport


def transport_opener(context: SSLContext | None) -> OpenTransport:
    """A function that opens transports under the running library, with TLS where there is a `context`.

    Only the transport that is needed is imported: a program under Trio does not load grpclib's client.
    """
    if sniffio.current_async_library() == "trio":
        from gossipnode.client.transport.trio_transport import open_transport as open_with_trio

        return lambda address: open_with_trio(address, context)
    from gossipnode.client.transport.asyncio_transport import open_transport as open_with_asyncio

    return lambda address: open_with_asyncio(address, context)
