"""Replies that a connection's peer has still to take: counted, so that one who never reads holds up itself.

A unary reply is whole in memory until the peer's window lets it go. A handler of large replies asks for room
before it makes one.
"""

from collections.abc import Generator
from contextlib import contextmanager

import trio


class ReplyBudget:
    """Bytes of replies on their way over one connection."""

    __slots__ = ("_changed", "_held", "_limit")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._changed = trio.Event()

    @property
    def has_room(self) -> bool:
        """Whether another large reply may be made."""
        return self._held < self._limit

    async def wait_room(self) -> None:
        """Wait until the peer has taken enough of what is on its way."""
        await trio.lowlevel.checkpoint()
        while not self.has_room:
            await self._changed.wait()

    @contextmanager
    def holding(self, size: int) -> Generator[None]:
        """Count a reply of `size` bytes while the block sends it."""
        self._held += size
        try:
            yield
        finally:
            self._held -= size
            if self.has_room:
                changed, self._changed = self._changed, trio.Event()
                changed.set()
