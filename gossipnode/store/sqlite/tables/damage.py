"""Rot that SQLite does not notice: bytes in a row that are not what was written.

Every payload is checked when it leaves the store. Sent on, a rotten one would pass for another version of its
record.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
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


def is_bytes(value: object) -> bool:
    """Whether a value is what was written at least in kind: one bit of a row says so."""
    return isinstance(value, bytes)


def intact(payload: bytes | None, version: Version) -> bytes:
    """The payload, if it is still the one that its version was made from.

    Raises:
        DamageError: the payload is gone, or it has changed since it was written.
    """
    if payload is None:
        raise DamageError(f"the payload of mod_revision {version.mod_revision} is missing")
    if not is_bytes(payload) or payload_digest(payload) != version.digest:
        raise DamageError(f"a payload of mod_revision {version.mod_revision} is not what was written")
    return payload


def kept_stamp(value: object) -> int | None:
    """A stamp that only tells what was: unknown, and no damage, if it cannot be what was written."""
    return value if isinstance(value, int) and 0 <= value <= STAMP_MAX_NANOSECONDS else None


def next_key(before: bytes, key: bytes) -> bytes:
    """The key of a row that comes after another one.

    SQLite takes the order of its rows for granted. Where a key has rotted out of it, a reader that goes on
    after the last row of each page could come back to where it was, for ever.

    Raises:
        DamageError: the row is out of order.
    """
    if not is_bytes(key) or key <= before:
        raise DamageError(f"a row is out of order: {repr(key)[:80]}")
    return key
