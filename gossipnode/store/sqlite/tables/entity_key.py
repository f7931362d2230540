"""An entity as one byte string, in such a way that keys compare (memcmp) as `Entity` tuples do.

A key is `group NUL name NUL id`, in UTF-8. Group and name may hold any character, a NUL included. A NUL or
0x01 inside them is therefore written as a pair that begins with 0x01, which sorts after the NUL that ends the
part.
"""

from __future__ import annotations

from gossipnode.core.model.property import Entity
from gossipnode.store.sqlite.tables.damage import DamageError


class DamagedKeyError(DamageError):
    """Bytes that are not the key of any entity."""


END_KEY = b"\xff"
"""Sorts after every key: this byte does not occur in UTF-8. (b"" sorts before every key.)"""


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
    except (ValueError, TypeError, AttributeError):
        # One bit of a row says whether it is bytes at all.
        raise DamagedKeyError(f"{repr(key)[:80]} is no key") from None


def is_key(key: bytes) -> bool:
    """Whether these bytes are the key of an entity."""
    try:
        key_entity(key)
    except DamagedKeyError:
        return False
    return True


def name_range(group: bytes, name: str) -> tuple[bytes, bytes]:
    """Two keys strictly between which lie all keys of one name. `group` is from `key_group`."""
    start = group + b"\0" + _escape(name)
    return start + b"\0", start + b"\1"


def key_group(key: bytes) -> bytes:
    """The first part of a key: the group, still escaped."""
    return key.partition(b"\0")[0]


def after_group(group: bytes) -> bytes:
    """A key that sorts after all keys of a group, and before those of every later group."""
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
