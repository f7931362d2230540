"""Waiting for room in the budget of memory, in turn, until there is some or the task gives up.

One block of each use gets room whatever else is held: so whatever waits gets on in the end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType

from gossipnode.concurrency.memory_budget import MemoryAccount
from gossipnode.concurrency.waker import Waker


class RoomFor:
    """`async with RoomFor(account, size)`: holds `size` bytes for the block, once there is room for them.

    Less is held of a small budget: see `MemoryBudget.at_once`.
    """

    __slots__ = ("_memory", "_size")

    def __init__(self, memory: MemoryAccount, size: int) -> None:
        """Nothing is counted before the block begins."""
        self._memory = memory
        self._size = memory.budget.at_once(size)

    async def __aenter__(self) -> None:
        memory, budget = self._memory, self._memory.budget
        if budget.may_begin(memory, self._size):
            budget.enter(memory, self._size)
            return
        waker = Waker()
        budget.wait(memory, self, waker)
        try:
            await waker.sleep()
            while not budget.has_room(memory, self._size):
                await waker.sleep()
            budget.enter(memory, self._size)
        finally:
            budget.wait_no_more(memory, self)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._memory.budget.leave(self._memory, self._size)


@asynccontextmanager
async def holding(memory: MemoryAccount, use: str, size: int) -> AsyncGenerator[None]:
    """Hold `size` bytes for `use`, in the name of the caller of `memory`, once there is room for them."""
    account = memory.for_use(use)
    try:
        async with RoomFor(account, size):
            yield
    finally:
        account.close()
