"""Rot that SQLite does not notice: bytes in a row that are not what was written.

Every payload is checked when it leaves the store. Sent on, a rotten one would pass for another version of its
record.
"""

from __future__ import annotations

from gossipnode.core.model.version import Version, payload_digest


class DamageError(ValueError):
    """Bytes in the file are not what was written. The text says which."""


def intact(payload: bytes, version: Version) -> bytes:
    """The payload, if it is still the one that its version was made from.

    Raises:
        DamageError: the payload has changed since it was written.
    """
    if payload_digest(payload) != version.digest:
        raise DamageError(f"a payload of mod_revision {version.mod_revision} is not what was written")
    return payload
