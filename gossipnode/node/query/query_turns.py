"""How many queries may hold an answer in memory at once.

Some answers are put together whole, and stay in memory until the client has taken them. A client that does
not take its answer holds up its own connection alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import trio

from gossipnode.rpc import CallContext, RpcError, Status

ANSWERS_MADE_AT_ONCE = 4
"""Whole answers, of 4 MiB at most, that are put together at the same time."""

ORDERED_STREAMS_AT_ONCE = 4
"""Ordered answers, each of which is kept whole while it is sent."""


class QueryTurns:
    """Turns for making whole answers, and places for ordered ones that are sent as a stream."""

    def __init__(self) -> None:
        """Start with all of them free."""
        self._making = trio.Semaphore(ANSWERS_MADE_AT_ONCE, max_value=ANSWERS_MADE_AT_ONCE)
        self._streams = 0

    @asynccontextmanager
    async def making(self, call: CallContext) -> AsyncGenerator[None]:
        """Make one whole answer, once the caller has taken what it was sent before."""
        while True:
            await call.replies.wait_room()
            await self._making.acquire()
            if call.replies.has_room:
                break
            self._making.release()
        try:
            yield
        finally:
            self._making.release()

    @contextmanager
    def ordered_stream(self) -> Generator[None]:
        """Hold an ordered answer for as long as its stream takes.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, when all places are taken.
        """
        if self._streams >= ORDERED_STREAMS_AT_ONCE:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED,
                f"{self._streams} ordered queries are under way: try again, or ask without an order",
            )
        self._streams += 1
        try:
            yield
        finally:
            assert 0 < self._streams <= ORDERED_STREAMS_AT_ONCE, self._streams
            self._streams -= 1
