"""What waits for the one task of a watch: pages of its feeds, and that something else is to be looked at."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.waker import Waker

Page = TypeVar("Page")


class PageQueue(Generic[Page]):
    """Pages in the order in which they came. A channel of Trio would cost as much as telling a page."""

    __slots__ = ("_awake", "_most", "_pages", "_room", "_taker")

    def __init__(self, most: int) -> None:
        """Hold `most` pages."""
        self._most = most
        self._pages: deque[Page] = deque()
        self._taker = Waker()
        self._awake = False
        self._room = ChangeEvent()

    async def put(self, page: Page) -> None:
        """Add a page, once there is room."""
        while len(self._pages) >= self._most:
            room = self._room.pending
            if len(self._pages) >= self._most:
                await room.wait()
        self._pages.append(page)
        self._taker.wake()

    def wake(self) -> None:
        """Have the next `take` return at once, without a page."""
        self._awake = True
        self._taker.wake()

    async def take(self) -> Page | None:
        """Wait for the next page. None after `wake`."""
        while not self._pages and not self._awake:
            await self._taker.sleep()
        if self._awake:
            self._awake = False
            return None
        page = self._pages.popleft()
        if len(self._pages) == self._most - 1:
            self._room.notify()
        return page
