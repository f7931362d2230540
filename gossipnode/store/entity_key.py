"""An entity as one byte string whose order (memcmp) is the order of `Entity` tuples.

`group NUL name NUL id`, in UTF-8. Group and name may hold any character, so a NUL or 0x01 of their own is
escaped by a pair that begins with 0x01 and so still sorts behind the end of the part.
"""

from __future__ import annotations

from gossipnode.core.model.property import Entity
from gossipnode.store.damage import DamageError


class DamagedKeyError(DamageError):
    """Bytes that are no key of an entity."""


END_KEY = b"\xff"
"""Behind every key: UTF-8 has no such byte."""


def entity_key(entity: Entity) -> bytes:
    """The key of a valid entity (see `check_entity`)."""
    return b"\0".join((_escape(entity.group), _escape(entity.name), entity.id.encode()))


def key_entity(key: bytes) -> Entity:
    """The entity of a key.

    Raises:
        DamagedKeyError: these bytes are no key.
    """
    try:
        group, name, identity = key.split(b"\0", 2)
        return Entity(_unescape(group), _unescape(name), identity.decode())
    except ValueError:
        raise DamagedKeyError(f"{key[:80]!r} is no key") from None


def name_range(group: bytes, name: str) -> tuple[bytes, bytes]:
    """All keys of one name lie strictly between these two. `group` is a key's first part, as it is."""
    start = group + b"\0" + _escape(name)
    return start + b"\0", start + b"\1"


def key_group(key: bytes) -> bytes:
    """A key's first part, still escaped."""
    return key.partition(b"\0")[0]


def behind_group(group: bytes) -> bytes:
    """Lies behind all keys of a group, and before those of every later group."""
    return group + b"\1"


def _escape(text: str) -> bytes:
    raw = text.encode()
    if b"\0" in raw or b"\1" in raw:
        return raw.replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
    return raw


def _unescape(raw: bytes) -> str:
    if b"\1" in raw:
        raw = raw.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1")
    return raw.decode()
