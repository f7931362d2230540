"""What one caller may hold of something that all callers need: the one rule for it, without a clock or tasks.

A caller may hold at most as much as is free before it takes more. So a caller alone gets half, the next one
half of what is left, and there is room for one more as long as anything is free. No constant says how many
callers there are. Must never let one caller hold everything, unless there is only one unit of it.
"""

from __future__ import annotations

from typing import NamedTuple


class Caller(NamedTuple):
    """Who holds something: any text that tells one caller from another, and whether it is a member."""

    name: str
    member: bool = False


class Shares:
    """A capacity in any unit, and how much of it each caller holds. `kept` of it is for members alone."""

    __slots__ = ("_held", "_held_by_members", "capacity", "held", "kept")

    def __init__(self, capacity: int, *, kept: int = 0) -> None:
        """Start with everything free. Raises ValueError if nothing is left for those who are no members."""
        if not 0 <= kept < capacity:
            raise ValueError(f"{kept} of {capacity} cannot be kept for members")
        self.capacity = capacity
        self.kept = kept
        self.held = 0
        """What all callers hold together."""
        self._held: dict[Caller, int] = {}
        self._held_by_members = 0

    def held_by(self, caller: Caller) -> int:
        """What `caller` holds now."""
        return self._held.get(caller, 0)

    def free_for(self, caller: Caller) -> int:
        """What is left for a caller of this kind, before its share is considered; never below 0."""
        kept = 0 if caller.member else max(0, self.kept - self._held_by_members)
        return max(0, self.capacity - self.held - kept)

    def may_take(self, caller: Caller, amount: int = 1) -> bool:
        """Whether `caller` may take `amount` more and still hold no more than what is free now."""
        return self._held.get(caller, 0) + amount <= self.free_for(caller)

    def take(self, caller: Caller, amount: int = 1) -> None:
        """Count `amount` more as held by `caller`.

        Nothing is checked: some things, such as bytes that have arrived, are held whether they may be or not.
        """
        assert amount >= 0, "what is taken is no less than nothing"
        self._count(caller, amount)

    def give_back(self, caller: Caller, amount: int = 1) -> None:
        """Count `amount` as free again. It must have been taken by `caller`."""
        assert 0 <= amount <= self.held_by(caller), f"{caller.name} gives back what it did not take"
        self._count(caller, -amount)

    def _count(self, caller: Caller, change: int) -> None:
        self.held += change
        if caller.member:
            self._held_by_members += change
        held = self._held.get(caller, 0) + change
        if held:
            self._held[caller] = held
        else:
            self._held.pop(caller, None)

    def callers(self) -> list[tuple[Caller, int]]:
        """Each caller that holds something, and how much, the one that holds most first."""
        return sorted(self._held.items(), key=lambda held: (-held[1], held[0]))
