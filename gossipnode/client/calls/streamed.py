"""What a call in the background brings item by item: the records of a query, or the events of a watch.

Reader and background task have a short channel between them. So no connection and no cancel scope is ever
open in the reader's own frame, and the reader may leave at any point.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Generic, Self, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from gossipnode.client.errors import ClientError

T = TypeVar("T")

READ_AHEAD_BATCHES = 1
"""Answers that wait for the reader, beside the one that is being read."""


@dataclass(frozen=True, slots=True)
class Begun(Generic[T]):
    """A call that has begun: where its items come out, and what ends it.

    An item is a page, or the error that ended the call, or None when it has ended without one.
    """

    items: MemoryObjectReceiveStream[list[T] | ClientError | None]
    scope: anyio.CancelScope


async def fill(
    items: MemoryObjectSendStream[list[T] | ClientError | None],
    scope: anyio.CancelScope,
    bring: Callable[[], Awaitable[None]],
) -> None:
    """Run the background task of a call to its end, or until the reader has left and cancels `scope`.

    `bring` sends pages into `items`; how it ends is the last item.
    """
    with scope, suppress(anyio.BrokenResourceError):
        async with items:
            try:
                await bring()
            except ClientError as error:
                await items.send(error)
            else:
                await items.send(None)


class Streamed(Generic[T]):
    """What a call brings, in its order. Iterate over it once, in one task.

    A call that is left early ends when this object is garbage-collected, or when `aclose` is called.
    """

    what: ClassVar[str]
    """What an error calls it."""

    def __init__(self, begin: Callable[[], Begun[T]]) -> None:
        """`begin` is called when the first one is wanted."""
        self._begin = begin
        self._begun: Begun[T] | None = None
        self._page: Iterator[T] = iter(())
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            for one in self._page:
                return one
            if self._ended:
                raise StopAsyncIteration
            self._page = iter(await self._next_page())

    async def _next_page(self) -> list[T]:
        if self._begun is None:
            self._begun = self._begin()
        item: list[T] | ClientError | None
        try:
            item = await self._begun.items.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            item = ClientError(f"the {self.what} has ended: the client is closed, or the {self.what} itself")
        if isinstance(item, list):
            return item
        self._end()
        if item is None:
            return []
        raise item

    async def aclose(self) -> None:
        """End the call. Harmless when repeated, and after its end."""
        self._page = iter(())
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self._begun is not None:
            self._begun.items.close()
            self._begun.scope.cancel()

    def __del__(self) -> None:
        # Nobody can read on, so end the background task. If there is no event loop, that task has ended
        # already, and cancelling raises RuntimeError.
        with suppress(RuntimeError):
            self._end()
