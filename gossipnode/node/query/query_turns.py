"""How many queries may hold an answer in memory at once.

Some answers are put together whole, and stay in memory until the client has taken them. A client that does
not take its answer holds up its own connection alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from gossipnode.concurrency.fair_turns import FairTurns, StalledError, Turn
from gossipnode.rpc import CallContext, RpcError, Status

ANSWERS_MADE_AT_ONCE = 4
"""Whole answers, of 4 MiB at most, that are put together at the same time."""

ORDERED_STREAMS_AT_ONCE = 4
"""Ordered answers, each of which is kept whole while it is sent."""

ORDERED_STALLED_SECONDS = 10.0
"""An ordered answer of which its client takes nothing for this time gives its place to a query that waits."""


class QueryTurns:
    """Turns for making whole answers, and places for ordered ones that are sent as a stream."""

    def __init__(self) -> None:
        """Start with all of them free."""
        self._making = trio.Semaphore(ANSWERS_MADE_AT_ONCE, max_value=ANSWERS_MADE_AT_ONCE)
        self._ordered = FairTurns(ORDERED_STREAMS_AT_ONCE, stalled_seconds=ORDERED_STALLED_SECONDS)

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

    @asynccontextmanager
    async def ordered_stream(self) -> AsyncGenerator[Turn]:
        """Hold a place for an ordered answer, as long as the block lasts. Waits until there is one.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, when the client took nothing while other queries waited.
        """
        try:
            async with self._ordered.hold() as place:
                yield place
        except StalledError as error:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED,
                f"ordered query: {error}: read faster, or ask without an order",
            ) from None
