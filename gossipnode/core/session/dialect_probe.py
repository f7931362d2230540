"""Whether a foreign peer writes the JSON of its leaves as we expect, or with other spaces.

Every digest of the same data differs then. Our own record of a leaf that differs tells: if its digest in the
other dialect is that of the peer's leaf, the peer speaks the other dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossipnode.core.model.property import Record

DIALECT_PROBES_MAX = 16
"""Leaves that differ which are looked at, for the first ones may differ by what they hold."""


class DialectProbe:
    """Looks at the first leaves that differ, until one of them or an equal leaf has told."""

    __slots__ = ("_asked", "_left", "_other_sha", "found_other")

    def __init__(self, other_sha: Callable[[Record], str] | None) -> None:
        """`other_sha` gives the digest of a record in the other dialect; None if nothing is to be found."""
        self._other_sha = other_sha
        self._left = DIALECT_PROBES_MAX
        self._asked = ""
        self.found_other = False
        """Whether the peer speaks the other dialect."""

    def is_curious(self, sha: str) -> bool:
        """Whether our record of a leaf that has the digest `sha` at the peer is to be read for `judge`."""
        if self._other_sha is None or not self._left:
            return False
        self._left -= 1
        self._asked = sha
        return True

    def saw_equal(self) -> None:
        """A leaf is equal, so the peer speaks as we expect."""
        self._left = 0

    def judge(self, records: Sequence[Record | None]) -> bool:
        """Take a record that was read; gives whether it was read for this probe."""
        sha, self._asked = self._asked, ""
        if not sha:
            return False
        assert self._other_sha is not None
        self.found_other = any(each is not None and self._other_sha(each) == sha for each in records)
        return True
