"""A state that changes again and again, and the tasks that wait for its next change.

A `trio.Event` fires once. The owner of a state that changes many times would have to put a new event in the
place of each one that has fired; this class does that in one place. And no task can wait for several events
of Trio at once but by a task of its own for each, which takes longer than all else that follows a change.
"""

from __future__ import annotations

from trio.lowlevel import checkpoint

from gossipnode.concurrency.waker import Waker


class NextChange:
    """One change. It happens once, and is known to have happened from then on."""

    __slots__ = ("_happened", "_wakers")

    def __init__(self) -> None:
        """It has not happened yet."""
        self._happened = False
        self._wakers: dict[Waker, None] = {}

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def set(self) -> None:
        """It happens: wake every task that waits for it. Harmless when repeated."""
        self._happened = True
        wakers, self._wakers = self._wakers, {}
        for waker in wakers:
            waker.wake()

    async def wait(self) -> None:
        """Wait until it has happened."""
        await first_of(self)

    def tell(self, waker: Waker) -> None:
        """Have a waker called once it happens."""
        self._wakers[waker] = None

    def tell_no_more(self, waker: Waker) -> None:
        """Forget a waker. Harmless if it was called."""
        self._wakers.pop(waker, None)


class ChangeEvent:
    """Tells any number of tasks that a state has changed.

    A task that looks at the state before it waits must take `pending` before it looks: a change between the
    look and the wait is then not missed.

        change = state.changed.pending
        if not state.is_as_wanted:
            await change.wait()
    """

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self._pending = NextChange()

    @property
    def pending(self) -> NextChange:
        """The change that comes next."""
        return self._pending

    def notify(self) -> None:
        """The state has changed: wake every task that waits for that."""
        changed, self._pending = self._pending, NextChange()
        changed.set()

    async def wait(self) -> None:
        """Wait for the next change from now on."""
        await self._pending.wait()


async def first_of(*changes: NextChange) -> None:
    """Wait until one of several changes has happened."""
    for change in changes:
        if change.is_set():
            await checkpoint()
            return
    waker = Waker()
    for change in changes:
        change.tell(waker)
    try:
        await waker.sleep()
    finally:
        for change in changes:
            change.tell_no_more(waker)
