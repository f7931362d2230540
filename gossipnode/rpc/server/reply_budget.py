"""Counts the replies that a connection's peer has still to take: a peer that never reads stops only itself.

A unary reply is whole in memory until the peer's window lets it go. A handler of large replies therefore asks
for room before it makes one.
"""

from collections.abc import Generator
from contextlib import contextmanager

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.memory_budget import MemoryAccount


class ReplyBudget:
    """The bytes of replies that are on their way over one connection."""

    __slots__ = ("_changed", "_held", "_limit", "memory")

    def __init__(self, limit_bytes: int, memory: MemoryAccount) -> None:
        self.memory = memory
        """The account of the caller for this connection."""
        self._limit = limit_bytes
        self._held = 0
        self._changed = ChangeEvent()

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
        self.memory.take(size)
        try:
            yield
        finally:
            was_full = not self.has_room
            self._held -= size
            self.memory.give_back(size)
            if was_full and self.has_room:
                self._changed.notify()
