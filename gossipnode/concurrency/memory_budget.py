"""The memory that a process may spend on what others send and ask for, and who holds how much of it.

Nothing is allocated here: whoever keeps bytes for a caller counts them in an account. Accounts take from the
budget in steps, so that counting costs next to nothing. Must never let one caller hold what all need: that is
the rule of shares.
"""

from __future__ import annotations

from typing import Final, Protocol

from gossipnode.concurrency.shares import Caller, Shares

MIB: Final = 1 << 20

BUDGET_BYTES: Final = 256 * MIB
"""What a node spends above its base unless its settings say otherwise."""

ACCOUNT_STEP_BYTES: Final = 64 << 10
"""An account takes from the budget, and gives back, in steps of this size."""

KEPT_FOR_MEMBERS_PART: Final = 4
"""The budget divided by this is kept for members."""

WOKEN_AT_ONCE: Final = 8
"""Those that wait for room are woken in turn, this number of them whenever some was given back."""


class Waiting(Protocol):
    """A task that sleeps until there may be room."""

    def wake(self) -> None:
        """Let the task look again."""


class MemoryBudget:
    """The budget of a process. `shares` is in bytes."""

    __slots__ = ("_promised", "_uses", "_waiting", "shares")

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        """Start with nothing held. Raises ValueError for a budget of no bytes."""
        self.shares = Shares(budget_bytes, kept=budget_bytes // KEPT_FOR_MEMBERS_PART)
        self._uses: dict[str, int] = {}
        self._promised: dict[Caller, int] = {}
        self._waiting: dict[Waiting, None] = {}

    def account(self, use: str, caller: Caller) -> MemoryAccount:
        """An account of `caller` for what `use` names, with nothing in it."""
        return MemoryAccount(self, use, caller)

    def by_use(self) -> dict[str, int]:
        """The bytes held for each use, in the order of their names."""
        return dict(sorted((use, held) for use, held in self._uses.items() if held))

    def count(self, use: str, caller: Caller, change: int) -> None:
        """Take `change` bytes from the budget, or give them back if it is negative."""
        self._uses[use] = self._uses.get(use, 0) + change
        if change >= 0:
            self.shares.take(caller, change)
        else:
            self.shares.give_back(caller, -change)
            self.wake()

    def promise_room(self, caller: Caller) -> int:
        """What may still be promised to `caller` so that all of it would fit its share if it came now."""
        share = (self.shares.free_for(caller) + self.shares.held_by(caller)) // 2
        return max(0, share - self._promised.get(caller, 0))

    def promise(self, caller: Caller, change: int) -> None:
        """Count `change` bytes more, or fewer, as promised: `caller` may send them without asking."""
        promised = self._promised.get(caller, 0) + change
        assert promised >= 0, f"{caller.name} was promised less"
        if promised:
            self._promised[caller] = promised
        else:
            self._promised.pop(caller, None)
        if change < 0:
            self.wake()

    def wait(self, task: Waiting) -> None:
        """Wake `task` when there may be room."""
        self._waiting[task] = None

    def wait_no_more(self, task: Waiting) -> None:
        """Forget `task`. Harmless if it does not wait."""
        self._waiting.pop(task, None)

    def wake(self) -> None:
        """Wake those that have waited longest. One that still finds no room queues again, at the end."""
        for task in list(self._waiting)[:WOKEN_AT_ONCE] if self._waiting else ():
            del self._waiting[task]
            task.wake()


class MemoryAccount:
    """What one caller holds for one use, such as the calls of one connection."""

    __slots__ = ("_closed", "_promised", "_reserved", "budget", "caller", "held", "use")

    def __init__(self, budget: MemoryBudget, use: str, caller: Caller) -> None:
        """Made by `MemoryBudget.account`."""
        self.budget = budget
        self.use = use
        self.caller = caller
        self.held = 0
        """Bytes in this account."""
        # What was taken from the budget for them, in whole steps.
        self._reserved = 0
        self._promised = 0
        self._closed = False

    def fits(self, size: int) -> bool:
        """Whether the caller may hold `size` bytes more within its share."""
        beyond = self.held + size - self._reserved
        return beyond <= 0 or self.budget.shares.may_take(self.caller, _steps(beyond))

    def take(self, size: int) -> None:
        """Count `size` bytes more, whether they fit or not."""
        assert size >= 0, "what is taken is no less than nothing"
        self.held += size
        if self.held > self._reserved and not self._closed:
            self._reserve(_steps(self.held))

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self.held -= size
        assert self.held >= 0, f"more is given back than was taken for {self.use}"
        # One step stays, so that a small account does not reach for the budget each time.
        if self._reserved - self.held >= 2 * ACCOUNT_STEP_BYTES and not self._closed:
            self._reserve(_steps(self.held))

    def promise_room(self) -> int:
        """What may still be promised to the caller; see `MemoryBudget.promise_room`."""
        return self.budget.promise_room(self.caller)

    def promise(self, change: int) -> None:
        """Count `change` bytes more, or fewer, as promised to the caller."""
        if not self._closed:
            self._promised += change
            self.budget.promise(self.caller, change)

    def close(self) -> None:
        """Give back everything. What is counted afterwards, by those that still tidy up, counts no more."""
        self._reserve(0)
        self.promise(-self._promised)
        self._closed = True

    def _reserve(self, reserved: int) -> None:
        change, self._reserved = reserved - self._reserved, reserved
        self.budget.count(self.use, self.caller, change)


def _steps(size: int) -> int:
    """`size` bytes in whole steps."""
    return -(-size // ACCOUNT_STEP_BYTES) * ACCOUNT_STEP_BYTES
