"""A state that changes again and again, and the tasks that wait for its next change.

A `trio.Event` fires once. The owner of a state that changes many times would have to put a new event in the
place of each one that has fired; this class does that in one place.
"""

from __future__ import annotations

import trio


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
        self._pending = trio.Event()

    @property
    def pending(self) -> trio.Event:
        """The event that the next change sets."""
        return self._pending

    def notify(self) -> None:
        """The state has changed: wake every task that waits for that."""
        changed, self._pending = self._pending, trio.Event()
        changed.set()

    async def wait(self) -> None:
        """Wait for the next change from now on."""
        await self._pending.wait()


async def first_of(*events: trio.Event) -> None:
    """Wait until one of several events is set."""

    async def wait_for(event: trio.Event) -> None:
        await event.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(wait_for, event)
