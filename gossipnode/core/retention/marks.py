"""What a replica keeps for each shard so that tombstones can go, and which records it refuses by that.

No clock decides. Every replica seals a stamp: from then on it takes no record with a stamp up to that one,
except from another replica. Then a round in which nothing is left out shows that all replicas hold the same
up to it: they are complete. Only when each of them has said so, tombstones up to that stamp are purged. What
a complete replica lacks up to its mark was deleted, and is not taken on any path.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult

_NO_DIGEST = bytes(32)

PURGED_PROBLEM = "deleted here, and the tombstone is purged"
SEALED_PROBLEM = "stamped at a time up to which the replicas have agreed to take no more writes"


class Marks(NamedTuple):
    """Three stamps of a shard, in nanoseconds. None of them ever goes down. All are 0 at first."""

    sealed: int = 0
    """No record with a stamp up to this one is taken, except from a replica that holds it."""
    complete: int = 0
    """All replicas held the same up to this stamp, as a round has proven."""
    mark: int = 0
    """Tombstones with a stamp up to this one are purged."""

    @property
    def is_stale(self) -> bool:
        """Whether tombstones were purged by others that this replica may never have had."""
        return self.complete < self.mark

    def joined(self, other: Marks) -> Marks:
        """The larger of each."""
        return Marks(*map(max, self, other))


NO_MARKS = Marks()


class Way(Enum):
    """How a record comes to a store."""

    CLIENT = "client"
    """As a new version: a client's, or one of an import."""
    COPY = "copy"
    """A version that a replica was seen to hold: read repair."""
    SESSION = "session"
    """In a session with another replica."""


class Entry(NamedTuple):
    """How a record comes, and under which mark."""

    way: Way = Way.CLIENT
    mark: int = 0
    """The mark that both sides had when their session began."""


FROM_CLIENT = Entry()
COPY = Entry(Way.COPY)


def refusal(marks: Marks, version: Version, held: Version | None, entry: Entry) -> WriteResult | None:
    """Why a record is not stored which is newer than what is held; None if it is stored.

    A tombstone that would be purged counts as held already. A live record is older than that tombstone, which
    is held no more: the version of the result says so, and a coordinator then takes a larger stamp.

    Args:
        marks: those of the shard.
        version: that of the record.
        held: what the store has of the entity, and if that is set aside as damaged, what it had; None for
            nothing.
        entry: how the record comes.
    """
    stamp = version.stamp
    gone_up_to = _gone_up_to(marks, entry) if held is None else 0
    # A mark of 0 stands for none, and there are records with a stamp of 0.
    if gone_up_to and stamp <= gone_up_to:
        if version.delete_time:
            return WriteResult(WriteOutcome.EQUAL, version)
        if entry.way is Way.SESSION:
            return WriteResult(WriteOutcome.REFUSED, None, PURGED_PROBLEM)
        limit = max(marks)
        return WriteResult(WriteOutcome.OLDER, Version(limit, limit, _NO_DIGEST), PURGED_PROBLEM)
    if entry.way is Way.CLIENT and marks.sealed and stamp <= marks.sealed:
        newest = Version(marks.sealed, 0, _NO_DIGEST)
        return WriteResult(WriteOutcome.OLDER, newest if held is None else max(held, newest), SEALED_PROBLEM)
    return None


def _gone_up_to(marks: Marks, entry: Entry) -> int:
    """Up to which stamp an entity that is not held here is known to be deleted."""
    if entry.way is not Way.SESSION:
        return max(marks.mark, marks.complete)
    if marks.is_stale and entry.mark >= marks.mark:
        # It copies from a replica that is complete, and that has purged by the same mark.
        return 0
    return marks.mark


def is_purged(marks: Marks, version: Version) -> bool:
    """Whether a version that is held is a tombstone that is to go."""
    return version.delete_time > 0 and version.stamp <= marks.mark
