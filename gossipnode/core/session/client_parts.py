"""What the client of a tree session is made of: where it stands, and its own leaves of the slot at hand."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from gossipnode.core.model.property import Entity
from gossipnode.core.session.tree import Leaf


class ClientPhase(Enum):
    """What the client does next, or waits for."""

    ROOT = auto()
    """It sends its root."""
    VERDICT = auto()
    """It waits for the verdict."""
    SLOTS = auto()
    """It sends its slots."""
    PAGES = auto()
    """It takes pages, up to the last one, which is empty."""
    HALF_CLOSE = auto()
    """It has said that it is done with the last page, and ends its half of the stream."""
    SERVER_END = auto()
    """It waits for the server to end the stream."""
    OVER = auto()


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
