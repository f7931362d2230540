"""Our own leaves of the slot that a client compares."""

from __future__ import annotations

from collections import deque

from gossipnode.core.model.property import Entity
from gossipnode.core.session.tree import Leaf


class OwnSlot:
    """Our own leaves of one slot, which are read a few at a time as the merge-join needs them."""

    __slots__ = ("after", "exhausted", "leaves", "slot")

    def __init__(self, slot: int) -> None:
        """Begin with none of the leaves of `slot` read."""
        self.slot = slot
        self.leaves: deque[Leaf] = deque()
        self.after: Entity | None = None
        self.exhausted = False

    def must_read(self) -> bool:
        """Whether more leaves are to be read before it is known which one comes next."""
        return not self.leaves and not self.exhausted
