"""How many queries may hold an answer in memory at once.

A query's answer is put together whole, and stays until the client has taken it. What a client does not take
holds up that client's connection alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from gossipnode.rpc import CallContext, RpcError, Status

ANSWERS_MADE_AT_ONCE = 4
"""Whole answers, of 4 MiB at most, that are put together at the same time."""

ORDERED_STREAMS_AT_ONCE = 4
"""Ordered answers, each of which is kept whole while it is sent."""

ORDERED_STALLED_SECONDS = 10.0
"""An ordered answer of which its client takes nothing for this time gives its place to a query that waits."""


class OrderedPlace:
    """The place of one ordered answer."""

    __slots__ = ("scope", "taken_at")

    def __init__(self) -> None:
        """The client is given the whole time from now on."""
        self.scope = trio.CancelScope()
        self.taken_at = trio.current_time()
        """When the client last took something."""

    def took(self) -> None:
        """The client has taken something."""
        self.taken_at = trio.current_time()


class QueryTurns:
    """Turns for making whole answers, and places for ordered ones that are sent as a stream."""

    def __init__(self) -> None:
        """Start with all of them free."""
        self._making = trio.Semaphore(ANSWERS_MADE_AT_ONCE)
        self._places: set[OrderedPlace] = set()
        self._waiting: deque[trio.Event] = deque()
        """Queries that wait for a place, first come first served. A place that is given is in `_given`."""
        self._given = 0

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
    async def ordered_stream(self) -> AsyncGenerator[OrderedPlace]:
        """Hold a place for an ordered answer, as long as the block lasts. Waits until there is one.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, when the client took nothing while other queries waited.
        """
        await self._turn()
        place = OrderedPlace()
        self._places.add(place)
        try:
            with place.scope:
                yield place
        finally:
            self._places.discard(place)
            self._pass_on()
        if place.scope.cancelled_caught:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED,
                f"nothing was taken of the answer for {ORDERED_STALLED_SECONDS:g} s while other ordered "
                "queries waited: read faster, or ask without an order",
            )

    async def _turn(self) -> None:
        """Wait for a place, and end answers of which nothing is taken meanwhile."""
        if not self._waiting and len(self._places) + self._given < ORDERED_STREAMS_AT_ONCE:
            return
        turn = trio.Event()
        self._waiting.append(turn)
        try:
            while not turn.is_set():
                with trio.move_on_at(self._end_stalled()):
                    await turn.wait()
        except trio.Cancelled:
            if turn.is_set():
                self._given -= 1
                self._pass_on()
            else:
                self._waiting.remove(turn)
            raise
        self._given -= 1

    def _pass_on(self) -> None:
        """A place is free: give it to the query that has waited longest."""
        if self._waiting:
            self._given += 1
            self._waiting.popleft().set()

    def _end_stalled(self) -> float:
        """End the answer of which nothing was taken for longest, if that is too long; when to look again."""
        now = trio.current_time()
        live = [place for place in self._places if not place.scope.cancel_called]
        stalled = min(live, key=lambda place: place.taken_at, default=None)
        if stalled is None:
            return now + ORDERED_STALLED_SECONDS
        due = stalled.taken_at + ORDERED_STALLED_SECONDS
        if due <= now:
            stalled.scope.cancel()
            return now + ORDERED_STALLED_SECONDS
        return due
