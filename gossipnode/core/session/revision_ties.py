"""Records of which a foreign peer holds another content of the same revision.

The peer would refuse ours, and give its own again in every round. So the one that wins here is written once
more with the next revision. That is the same on each node of ours, and the peer takes it.
"""

from __future__ import annotations

from collections.abc import Callable

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version


class RevisionTies:
    """The versions of the peer that are older than ours, until ours are read to be sent."""

    __slots__ = ("_raised", "_theirs")

    def __init__(self, raised: Callable[[Record], Record] | None) -> None:
        """`raised` gives the same record with the next revision; None where versions have one order."""
        self._raised = raised
        self._theirs: dict[Entity, Version] = {}

    def note(self, theirs: Record) -> None:
        """The peer holds this version, of which ours is about to be read and sent."""
        if self._raised is not None:
            self._theirs[theirs.entity] = theirs.version

    def broken(self, ours: Record) -> Record | None:
        """What is to be written in place of our record, if the peer would refuse that."""
        theirs = self._theirs.pop(ours.entity, None)
        if theirs is None or self._raised is None or theirs[:2] != ours.version[:2]:
            return None
        return self._raised(ours)
