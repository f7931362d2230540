"""The total order of versions, and the clock that makes new ones.

Any two nodes that compare the same two versions agree on which one wins. So every replica ends with the same
one, and no tie can make a write or a delete win in one place and lose in another.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS


class Version(NamedTuple):
    """The version of a record. Versions compare field by field, and wherever two meet the larger one wins.

    The digest decides between different contents with the same stamps. Taking the larger of two versions is
    commutative, associative and idempotent, so replicas end alike in whatever order they exchange records.
    """

    mod_revision: int
    """When the record was last written: nanoseconds of a hybrid clock."""
    delete_time: int
    """When the record was deleted, in nanoseconds; 0 while it is live."""
    digest: bytes
    """`payload_digest` of the encoded property."""

    @property
    def stamp(self) -> int:
        """When this version was written or deleted, in nanoseconds: a version that replaces it needs more."""
        return max(self.mod_revision, self.delete_time)


def payload_digest(payload: bytes) -> bytes:
    """The 32 bytes of blake2b-256 over an encoded property."""
    return hashlib.blake2b(payload, digest_size=32).digest()


class HybridClock:
    """Gives stamps that stay near the wall clock, and never repeat or go back.

    A stamp is `max(now, last + 1)`, and above the version that the writer replaces. The time of the wall
    clock is handed in with every call, because the core reads no clock.
    """

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        """Give stamps above `last`, the largest one given or seen before, in nanoseconds."""
        self._last = last

    @property
    def last(self) -> int:
        """The largest stamp given or seen, in nanoseconds."""
        return self._last

    def propose(self, now: int, *, above: int = 0) -> int:
        """A stamp at least `now`, above every earlier one and above `above`, without having given it.

        The clock moves once `saw` is told that the stamp was taken. So a stamp that no replica takes, because
        our wall clock is wrong, leaves no trace. An earlier stamp that is too far ahead of `now` does not
        count.
        """
        last = self._last if self._last - now <= MAX_CLOCK_SKEW_NANOSECONDS else 0
        return max(now, last + 1, above + 1)

    def next(self, now: int, *, above: int = 0) -> int:
        """A fresh stamp: at least `now`, above every earlier one, and above the version being replaced."""
        before = self._last
        own = max(now, before + 1)
        stamp = max(own, above + 1)
        # A record that a peer stamped far ahead must be superseded, but must not pull the clock after it. Our
        # own stamps move the clock even after the wall clock was set far back, because they would repeat
        # otherwise.
        self._last = stamp if stamp - now <= MAX_CLOCK_SKEW_NANOSECONDS else own
        assert stamp > above
        assert stamp >= self._last > before, "a stamp would repeat"
        return stamp

    def saw(self, stamp: int, now: int) -> bool:
        """Note a peer's stamp. Return False, and leave the clock, when it is too far ahead of `now`."""
        if stamp - now > MAX_CLOCK_SKEW_NANOSECONDS:
            return False
        self._last = max(self._last, stamp)
        return True
