"""Chooses what fits the library, Trio or asyncio, that runs the calling task: transport and tasks."""

from __future__ import annotations

import sniffio

from gossipnode.client.transport.transport_protocol import OpenTasks, OpenTransport
from gossipnode.rpc.tls import ClientTls


def transport_opener(tls: ClientTls | None) -> OpenTransport:
    """A function that opens transports under the running library, with TLS if `tls` says how.

    Only the transport that is needed is imported: a program under Trio does not load grpclib's client.
    """
    if sniffio.current_async_library() == "trio":
        from gossipnode.client.transport.trio_transport import open_transport as open_with_trio

        return lambda address: open_with_trio(address, tls)
    from gossipnode.client.transport.asyncio_transport import open_transport as open_with_asyncio

    return lambda address: open_with_asyncio(address, tls)


def tasks_opener() -> OpenTasks:
    """A function that opens what runs tasks under the running library."""
    if sniffio.current_async_library() == "trio":
        from gossipnode.client.transport.trio_transport import open_tasks as open_with_trio

        return open_with_trio
    from gossipnode.client.transport.asyncio_transport import open_tasks as open_with_asyncio

    return open_with_asyncio
