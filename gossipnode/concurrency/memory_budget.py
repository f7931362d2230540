"""The memory that a process may spend on what others send and ask for, and who holds how much of it.

Nothing is allocated here: code that keeps bytes for a caller counts them in an account. An account takes from
the budget in steps, so that counting costs next to nothing. Must never let one caller hold what all need: see
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

TAKEN_AT_ONCE_PART: Final = 8
"""What waits for room takes at most the budget divided by this, or a small budget would let it starve."""


class Waiting(Protocol):
    """A task that sleeps until there may be room."""

    def wake(self) -> None:
        """Let the task look again."""


class MemoryBudget:
    """The budget of a process. `shares` is in bytes."""

    __slots__ = (
        "_first_windows",
        "_let_in",
        "_lines",
        "_promised",
        "_room_bytes",
        "_rooms",
        "_uses",
        "shares",
    )

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        """Start with nothing held. Raises ValueError for a budget of no bytes."""
        self.shares = Shares(budget_bytes, kept=budget_bytes // KEPT_FOR_MEMBERS_PART)
        self._uses: dict[str, int] = {}
        self._promised: dict[Caller, int] = {}
        # What may come at the beginnings of streams that are open, of those for which there was room.
        self._first_windows: dict[Caller, int] = {}
        # For whom each caller may send beyond what there is room for: one message at a time always gets on.
        self._let_in: dict[Caller, object] = {}
        # How many blocks of each use and caller have got room; see `memory_room`.
        self._rooms: dict[tuple[str, Caller], int] = {}
        self._room_bytes: dict[Caller, int] = {}
        # Those that wait for room, first come first served, by use and caller.
        self._lines: dict[tuple[str, Caller], dict[object, Waiting]] = {}

    def account(self, use: str, caller: Caller) -> MemoryAccount:
        """An account of `caller` for what `use` names, with nothing in it."""
        return MemoryAccount(self, use, caller)

    def by_use(self) -> dict[str, int]:
        """The bytes held for each use, in the order of their names."""
        return dict(sorted((use, held) for use, held in self._uses.items() if held))

    def at_once(self, size: int) -> int:
        """What to hold for `size` bytes that wait until they fit: less than that, if the budget is small."""
        return min(size, self.shares.capacity // TAKEN_AT_ONCE_PART)

    def count(self, use: str, caller: Caller, change: int) -> None:
        """Take `change` bytes from the budget, or give them back if it is negative."""
        self._uses[use] = self._uses.get(use, 0) + change
        if change >= 0:
            self.shares.take(caller, change)
        else:
            self.shares.give_back(caller, -change)
            self.wake()

    def promise_room(self, caller: Caller) -> int:
        """What may still be promised to `caller` so that all of it would fit its share if it came now.

        What has come already counts as promised and as held. So half of a share is left for other things.
        """
        held = self.shares.held_by(caller)
        share = (self.shares.free_for(caller) + held) // 2
        expected = self._promised.get(caller, 0) + self._first_windows.get(caller, 0)
        return max(0, share - held - expected)

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

    def let_in(self, caller: Caller, owner: object) -> bool:
        """Whether `owner` is, or becomes, the one for whom `caller` may send although there is no room."""
        return self._let_in.setdefault(caller, owner) is owner

    def let_in_no_more(self, caller: Caller, owner: object) -> None:
        """What came for `owner` is here, or is wanted no more. Harmless if it was not let in."""
        if self._let_in.get(caller) is owner:
            del self._let_in[caller]
            self.wake()

    def expect_first_window(self, caller: Caller, change: int) -> None:
        """Count `change` bytes more, or fewer, as what `caller` may send on new streams unread."""
        windows = self._first_windows
        expected = windows[caller] = windows.get(caller, 0) + change
        if not expected:
            del windows[caller]
        if change < 0 and self._lines:
            self.wake()

    def has_room(self, account: MemoryAccount, size: int) -> bool:
        """Whether a block that is to hold `size` bytes may begin.

        The blocks of a caller have at most two thirds of its share, since what it still sends needs room.
        Beyond that, the only one of its use and caller may begin while there is room for it, and the only one
        of its use in any case. So whatever waits gets on in the end, and many callers hold no more than all.
        """
        if account.fits(size + self._room_bytes.get(account.caller, 0)):
            return True
        if (account.use, account.caller) in self._rooms:
            return False
        others = any(use == account.use for use, _ in self._rooms)
        return size <= self.shares.free_for(account.caller) or not others

    def may_begin(self, account: MemoryAccount, size: int) -> bool:
        """Whether it may begin at once: there is room, and nobody else waits for it."""
        return (account.use, account.caller) not in self._lines and self.has_room(account, size)

    def enter(self, account: MemoryAccount, size: int) -> None:
        """A block begins, which holds `size` bytes."""
        key = account.use, account.caller
        self._rooms[key] = self._rooms.get(key, 0) + 1
        self._room_bytes[account.caller] = self._room_bytes.get(account.caller, 0) + size
        account.take(size)

    def leave(self, account: MemoryAccount, size: int) -> None:
        """A block of `size` bytes is over."""
        key = account.use, account.caller
        account.give_back(size)
        self._rooms[key] -= 1
        if not self._rooms[key]:
            del self._rooms[key]
        left = self._room_bytes.get(account.caller, 0) - size
        assert left >= 0, f"{account.caller.name} leaves more room than it entered"
        if left:
            self._room_bytes[account.caller] = left
        else:
            self._room_bytes.pop(account.caller, None)
        self.wake()

    def wait(self, account: MemoryAccount, owner: object, task: Waiting) -> None:
        """Wake `task` when there may be room for `owner`, which waits in the line of its use and caller.

        An owner that waits already keeps its place in the line.
        """
        self._lines.setdefault((account.use, account.caller), {})[owner] = task

    def wait_no_more(self, account: MemoryAccount, owner: object) -> None:
        """The owner has got its room, or has given up. Harmless if it does not wait."""
        line = self._lines.get((account.use, account.caller))
        if line is None or owner not in line:
            return
        first = next(iter(line)) is owner
        del line[owner]
        if not line:
            del self._lines[account.use, account.caller]
        elif first:
            next(iter(line.values())).wake()

    def wake(self) -> None:
        """Wake the first of each line. It stays first until it has got its room."""
        for line in list(self._lines.values()) if self._lines else ():
            next(iter(line.values())).wake()


class MemoryAccount:
    """What one caller holds for one use, such as the calls of one connection."""

    __slots__ = ("_closed", "_first_windows", "_promised", "_reserved", "budget", "caller", "held", "use")

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
        self._first_windows = 0
        self._closed = False

    def fits(self, size: int) -> bool:
        """Whether the caller may hold `size` bytes more within its share."""
        beyond = self.held + size - self._reserved
        return beyond <= 0 or self.budget.shares.may_take(self.caller, _steps(beyond))

    def fits_promise(self, size: int) -> bool:
        """Whether `size` bytes that were promised find room: in the whole budget, if not in the share."""
        return self.budget.shares.held + size <= self.budget.shares.capacity

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

    def may_promise(self, size: int, kept: int, owner: object) -> bool:
        """Whether `size` bytes may be promised to `owner` in place of `kept`, which it was promised before.

        One of each caller is let in although there is no room, until `let_in_no_more`: so one message at a
        time always gets on, whatever else is promised.
        """
        budget = self.budget
        return size - kept <= budget.promise_room(self.caller) or budget.let_in(self.caller, owner)

    def let_in_no_more(self, owner: object) -> None:
        """See `MemoryBudget.let_in_no_more`."""
        self.budget.let_in_no_more(self.caller, owner)

    def promise(self, change: int) -> None:
        """Count `change` bytes more, or fewer, as promised to the caller."""
        if not self._closed:
            self._promised += change
            self.budget.promise(self.caller, change)

    def expect_first_window(self, size: int) -> bool:
        """Expect `size` bytes at the beginning of a new stream, if all of it would fit the caller's share.

        What is not expected is taken only as far as it fits when it comes.
        """
        if self._closed or size > self.budget.promise_room(self.caller):
            return False
        self._first_windows += size
        self.budget.expect_first_window(self.caller, size)
        return True

    def expect_no_more(self, size: int) -> None:
        """The stream for which `size` bytes were expected has ended."""
        if not self._closed:
            self._first_windows -= size
            self.budget.expect_first_window(self.caller, -size)

    def for_use(self, use: str) -> MemoryAccount:
        """Another account of the same caller, for another use."""
        return self.budget.account(use, self.caller)

    def close(self) -> None:
        """Give back everything. What is counted afterwards, by those that still tidy up, counts no more."""
        self._reserve(0)
        self.promise(-self._promised)
        self.expect_no_more(self._first_windows)
        self._closed = True

    def _reserve(self, reserved: int) -> None:
        change, self._reserved = reserved - self._reserved, reserved
        self.budget.count(self.use, self.caller, change)


def _steps(size: int) -> int:
    """`size` bytes in whole steps."""
    return -(-size // ACCOUNT_STEP_BYTES) * ACCOUNT_STEP_BYTES
