"""The one seam between the client library and a network: calls to one node, over a connection of its own.

There are two implementations, `trio_transport` and `asyncio_transport`. Both raise only RpcError when a call
fails. Both dial when a call needs a connection, so the call after a lost connection dials again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from gossipnode.config.address import Address
from gossipnode.rpc import Method
from gossipnode.rpc.method import Reply, Request

NextAnswer: TypeAlias = Callable[[], Awaitable[Reply | None]]
"""Waits for the next answer of a stream; None when the node has ended the stream with status OK."""


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
        """Send one request and receive many answers. Leaving the block ends the call.

        The same task must enter the block, wait in it and leave it, because a cancel scope may stand open
        inside. Raises as `unary` does.
        """
        ...


class Tasks(Protocol):
    """Runs the queries of a client, each in a task of its own."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, None]], /, *args: Any) -> None:
        """Start a task, which ends with the client at the latest."""
        ...


OpenTasks: TypeAlias = Callable[[], AbstractAsyncContextManager[Tasks]]
"""Runs tasks for the length of the block, and then cancels those that still run, and waits for their end."""

OpenTransport: TypeAlias = Callable[[Address], AbstractAsyncContextManager[Transport]]
"""Opens a transport to an address, for the length of the block. Nothing is dialled before the first call."""
