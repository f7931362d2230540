"""Rot that SQLite does not notice: bytes in a row that are not what was written.

Every payload is checked when it leaves the store. Sent on, a rotten one would pass for another version of its
record.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from gossipnode.core.model.version import Version, payload_digest


class DamageError(ValueError):
    """Bytes in the file are not what was written. The text says which."""


class DamagedLeafError(DamageError):
    """One record is not what was written."""

    def __init__(self, place: tuple[int, int, bytes], finding: DamageError) -> None:
        """`place` is the primary key of its leaf: sid, slot and entity key."""
        super().__init__(str(finding))
        self.place = place


@contextmanager
def leaf_checked(sid: int, slot: int, key: bytes) -> Generator[None]:
    """Within the block, damage is that of the leaf at this place.

    Raises:
        DamagedLeafError: the block met damage.
    """
    try:
        yield
    except DamageError as finding:
        raise DamagedLeafError((sid, slot, key), finding) from finding


def intact(payload: bytes | None, version: Version) -> bytes:
    """The payload, if it is still the one that its version was made from.

    Raises:
        DamageError: the payload is gone, or it has changed since it was written.
    """
    if payload is None:
        raise DamageError(f"the payload of mod_revision {version.mod_revision} is missing")
    if payload_digest(payload) != version.digest:
        raise DamageError(f"a payload of mod_revision {version.mod_revision} is not what was written")
    return payload
