"""One task waiting for one thing: the smallest wait that Trio allows.

A `trio.Event` serves once and a parking lot serves many; a stream has exactly one reader and one writer, and
waits so often that the difference shows. Must only be used from within one Trio run.
"""

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled


class Waker:
    """Lets one task sleep until another calls `wake`."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: Task | None = None

    async def sleep(self) -> None:
        """Sleep until `wake`. The caller re-checks what it waits for: a wake-up promises nothing.

        Raises trio.BusyResourceError if another task already sleeps here.
        """
        if self._task is not None:
            raise trio.BusyResourceError("another task is already waiting here")
        self._task = current_task()

        def abort(_: RaiseCancelT) -> Abort:
            self._task = None
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Wake the sleeper, if there is one."""
        task = self._task
        if task is not None:
            self._task = None
            reschedule(task)
