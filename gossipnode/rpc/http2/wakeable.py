"""What the state of a connection knows of the tasks that wait for it: that they can be woken.

A task that is about to sleep attaches itself to the state, and the state wakes it when something changed.
So the state needs no Trio, and a test can attach a list.
"""

from typing import Final, Protocol


class Wakeable(Protocol):
    """A task that sleeps until the state it looks at has changed."""

    def wake(self) -> None:
        """Let the task look at the state again. Harmless if the task is awake."""


class _Nobody:
    __slots__ = ()

    def wake(self) -> None:
        """Nobody sleeps here."""


#: Stands where no task waits.
NOBODY: Final[Wakeable] = _Nobody()
