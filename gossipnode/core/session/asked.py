"""What a client has asked its server for: what was asked for and never given counts as left out."""

from __future__ import annotations

from gossipnode.core.model.property import Record
from gossipnode.core.session.commands import SessionCounts
from gossipnode.core.session.messages import Unreadable

ASKED_NAMES_MAX = 1024
"""Keys that a client remembers of what it has asked for and not been given yet. Beyond, it only counts."""


class AskedRecords:
    """The records that a client has asked for and that its server still owes."""

    __slots__ = ("_more", "_names", "_unreadable")

    def __init__(self) -> None:
        """Start with nothing asked for."""
        self._names: dict[str, None] = {}
        self._more = 0
        self._unreadable = 0

    def ask(self, entity: str) -> None:
        """Note that the server was asked for an entity, which it holds by its own word."""
        if len(self._names) < ASKED_NAMES_MAX:
            self._names[entity] = None
        else:
            self._more += 1

    def given(self, record: Record | Unreadable) -> None:
        """Note what the server sends. A record that cannot be read is one of those that it was asked for."""
        if isinstance(record, Unreadable):
            self._unreadable += 1
        elif record.entity.text in self._names:
            del self._names[record.entity.text]
        elif self._more:
            self._more -= 1

    def count_unanswered(self, counts: SessionCounts) -> None:
        """Count what was asked for and never given, once the server has ended the session."""
        unanswered = len(self._names) + self._more - self._unreadable
        if unanswered > 0:
            counts.skip("never given by the peer", unanswered, such_as=next(iter(self._names), ""))
