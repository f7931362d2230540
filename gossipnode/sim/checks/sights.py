"""The writes to a key and the sights of it: what a check knows of one operation and one key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gossipnode.sim.history.operations import Tags

Source: TypeAlias = Literal["get", "query", "write", "end"]

END: Literal["end"] = "end"

NOBODY = -1
"""The number of what no operation did or showed."""


@dataclass(frozen=True, slots=True)
class Span:
    """When an operation was under way, as its client knows it. `number` names it."""

    number: int
    began: float
    ended: float

    def before(self, other: Span) -> bool:
        """Whether it had ended for certain when the other began."""
        return self.ended <= other.began


@dataclass(frozen=True, slots=True)
class KeyWrite(Span):
    """A write that may have taken effect. `ended` is infinite if it may never be over.

    Of a write that failed and is over, `ended` is when it failed. It may take effect later all the same, by
    what it left at a replica, but never on top of an acknowledged write that began after it had failed.
    """

    tags: Tags
    replace: bool
    deletes: bool
    promised: bool
    """Whether it was acknowledged by a quorum."""
    weak: bool
    """Whether it was asked for at a level that promises nothing."""
    last: float
    """The last moment in which it may take effect."""
    wrote: bool
    """Whether it left a version for certain: a delete that found nothing does not."""
    revision: int | None = None
    """That of the record that its client was given: its own version or one that came after it."""
    found: bool | None = None
    """What its client was told: whether a live record was there before it."""
    only_at: str = ""
    """The node that did it, if no other one can have."""

    def in_turn_with(self, other: Span) -> bool:
        """Whether one node did both, and one after the other: it does the writes of a record in turn."""
        return (
            isinstance(other, KeyWrite)
            and bool(self.only_at)
            and self.only_at == other.only_at
            and self.promised
            and other.promised
        )

    def surely_before(self, since: Span) -> bool:
        """Whether it cannot take effect after what happened in a span of time."""
        if isinstance(since, KeyWrite) and since.promised and since.wrote and self.before(since):
            return True
        return self.last <= since.began

    def covers(self, tag: str) -> bool:
        """Whether no earlier value of a tag is left where it takes effect."""
        return self.deletes or self.replace or tag in self.tags


@dataclass(frozen=True, slots=True)
class Shown(Span):
    """What was shown of a key. Without a record, `tags` is None and the revision 0."""

    source: Source
    strong: bool
    """Whether a quorum was asked."""
    revision: int
    tags: Tags | None
    where: str = ""
    """The node that holds it, if this is the end of the run."""

    def at(self) -> str:
        """Who showed it, in words."""
        return f"the store of {self.where}" if self.source == END else f"operation {self.number}"
