"""Records for tests, in each form that a record takes. No test builds one in another way.

    entity("n/1")                       the identity of a record: name n and id 1, in the group "sw"
    prop("n/1", k="v")                  a client's property with these tags, encoded, without stamps
    record("n/1", revision=5, k="v")    a version as a replica holds it, whose payload has these tags
    bare_record("n/1", b"any bytes")    a version whose payload is any bytes, for code that never reads it

System tests are the exception: they never use the product's own encoder (`system/stock_messages.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.tag_value import TagValue
from gossipnode.core.model.version import Version, payload_digest

DEFAULT_TAGS: Mapping[str, TagValue] = {"k": "v"}
"""The tags of a property of which a test names none."""


def entity(key: str, group: str = "sw") -> Entity:
    """The entity whose key is NAME/ID. The id may hold further slashes."""
    name, slash, id_ = key.partition("/")
    assert slash, f"{key!r} is no key: expected NAME/ID"
    return Entity(group, name, id_)


def prop(key: str | Entity, /, group: str = "sw", **tags: TagValue) -> bytes:
    """A property as a client sends it."""
    return _encoded(_entity_of(key, group), tags)


def record(
    key: str | Entity,
    /,
    *,
    group: str = "sw",
    revision: int = 1,
    created: int = 1,
    delete_time: int = 0,
    **tags: TagValue,
) -> Record:
    """A version of a property, stamped with its own revision and with that of its creation.

    It is decoded as if it came from a peer, and so obeys every rule of what may be stored.
    """
    from gossipnode.wire.property.payload import decode_record

    return decode_record(_encoded(_entity_of(key, group), tags, created, revision), delete_time)


def bare_record(
    key: str | Entity,
    payload: bytes | None = None,
    /,
    *,
    group: str = "sw",
    revision: int = 1,
    delete_time: int = 0,
) -> Record:
    """A version with any payload, its digest included. Nothing is checked.

    A payload that is not given holds the key and the revision, so that two versions differ as real ones do.
    """
    of = _entity_of(key, group)
    if payload is None:
        payload = f"{of.text}@{revision}".encode(errors="surrogatepass")
    return Record(of, Version(revision, delete_time, payload_digest(payload)), payload)


def _entity_of(key: str | Entity, group: str) -> Entity:
    return key if isinstance(key, Entity) else entity(key, group)


def _encoded(of: Entity, tags: Mapping[str, TagValue], created: int = 0, revision: int = 0) -> bytes:
    # Imported here and in `record`, because the tests of the core also run where there is no wire.
    from gossipnode.wire.property.property_edit import build_property

    return build_property(of, tags or DEFAULT_TAGS, create_revision=created, mod_revision=revision)
