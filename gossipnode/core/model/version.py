"""The total order of versions, and the clock that makes new ones.

Two replicas that hold the same two versions always agree which one wins, so that no write and no delete is
lost to a tie.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS


class Version(NamedTuple):
    """Compared left to right; the larger version wins on every path.

    The digest decides between different contents with the same stamps. Joining by maximum is commutative,
    associative and idempotent, which is what lets a ring converge in any order of exchanges.
    """

    mod_revision: int
    """Nanoseconds of a hybrid clock."""
    delete_time: int
    """0 while alive, otherwise nanoseconds."""
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
    """Gives stamps that never repeat and never go back, near the wall clock.

    A stamp is `max(now, last + 1)`, and above every stamp that the writer has read. The wall clock is handed
    in with every call: the core has none.
    """

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        """Go on behind `last`, the largest stamp given or seen before (nanoseconds)."""
        self._last = last

    @property
    def last(self) -> int:
        """The largest stamp given or seen, in nanoseconds."""
        return self._last

    def next(self, now: int, *, above: int = 0) -> int:
        """A fresh stamp: at least `now`, above every earlier one, and above the version being replaced."""
        own = max(now, self._last + 1)
        stamp = max(own, above + 1)
        # A record that a peer stamped far ahead must be superseded, yet must not pull the clock with it. Our
        # own stamps move it even when the wall clock was set far back: they would repeat otherwise.
        self._last = stamp if stamp - now <= MAX_CLOCK_SKEW_NANOSECONDS else own
        return stamp

    def saw(self, stamp: int, now: int) -> bool:
        """Take note of a peer's stamp. False, with the clock unmoved, when it is too far ahead of `now`."""
        if stamp - now > MAX_CLOCK_SKEW_NANOSECONDS:
            return False
        self._last = max(self._last, stamp)
        return True
