"""Rot that SQLite does not notice: bytes in rows that are not what was written.

Found wherever a payload leaves the store. Sent on, it would pass for another version of its record.
"""

from __future__ import annotations

from gossipnode.core.model.version import Version, payload_digest


class DamageError(ValueError):
    """Bytes in the file that are not what was written; the text says which."""


def intact(payload: bytes, version: Version) -> bytes:
    """The payload, if it is still the one that its version was made from.

    Raises:
        DamageError: it is not.
    """
    if payload_digest(payload) != version.digest:
        raise DamageError(f"a payload of mod_revision {version.mod_revision} is not what was written")
    return payload
