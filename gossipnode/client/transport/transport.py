"""The one seam between the client library and a network: calls to one node, over a connection of its own.

There are two implementations, for Trio and for asyncio. Both raise nothing but RpcError for what becomes of a
call, dial when a call needs it, and go on after a connection was lost with the next call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from ssl import SSLContext
from typing import Protocol, TypeAlias, TypeVar

import sniffio

from gossipnode.config.address import Address
from gossipnode.rpc import Method

Request = TypeVar("Request")
Reply = TypeVar("Reply")

NextAnswer: TypeAlias = Callable[[], Awaitable[Reply | None]]
"""Waits for the next answer of a stream; None when the node has ended it in good order."""


class Transport(Protocol):
    """Calls to one node."""

    async def unary(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - it goes to the node as well
    ) -> Reply:
        """Call a unary method, for at most `timeout` seconds.

        Raises:
            RpcError: with the node's status; UNAVAILABLE where it cannot be reached or the connection is
                lost, DEADLINE_EXCEEDED at the timeout. `never_processed` where the node cannot have begun.
        """
        ...

    def stream(
        self, method: Method[Request, Reply], request: Request
    ) -> AbstractAsyncContextManager[NextAnswer[Reply]]:
        """Send one request for many answers. Leaving the block ends the call, and its wait for answers.

        One task enters, waits and leaves: a cancel scope may stand open meanwhile. Raises as `unary` does.
        """
        ...


OpenTransport: TypeAlias = Callable[[Address], AbstractAsyncContextManager[Transport]]
"""A transport to an address, for the length of the block. Nothing is dialled before the first call."""


def transports(context: SSLContext | None) -> OpenTransport:
    """What opens transports under the library that runs the calling task."""
    if sniffio.current_async_library() == "trio":
        from gossipnode.client.transport.trio_transport import open_transport as open_with_trio

        return lambda address: open_with_trio(address, context)
    from gossipnode.client.transport.asyncio_transport import open_transport as open_with_asyncio

    return lambda address: open_with_asyncio(address, context)
