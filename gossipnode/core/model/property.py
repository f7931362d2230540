"""What is replicated: an entity (group, name, id), its version, and its encoded bytes.

The core never looks into the bytes. Only `gossipnode.wire` knows what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from gossipnode.core.model.errors import InvalidEntityError, InvalidRecordError
from gossipnode.core.model.limits import (
    GROUP_MAX_BYTES,
    ID_MAX_BYTES,
    NAME_MAX_BYTES,
    PROPERTY_MAX_BYTES,
    STAMP_MAX_NANOSECONDS,
)
from gossipnode.core.model.version import Version

FIRST_EPOCH = 1
"""The epoch in which a cluster is formed. The groups of its configuration are made in it."""

SHARD_MAX = (1 << 32) - 1
"""The largest number of a shard: what a message and a stored row have room for."""


class Entity(NamedTuple):
    """The identity of a property.

    Entities compare as tuples of text. Python orders text by code point, which is the order of its UTF-8
    bytes, and so entities sort as the leaves on the wire do.
    """

    group: str
    name: str
    id: str

    @property
    def text(self) -> str:
        """The form `group/name/id`, which is hashed and sent."""
        return f"{self.group}/{self.name}/{self.id}"


class ShardId(NamedTuple):
    """One shard of a group: the unit that has replicas, a ring and a tree.

    A group that is deleted and then created again under the same name is another group. `incarnation`, the
    epoch of its creation, keeps the records of the two apart in every store.
    """

    group: str
    shard: int
    incarnation: int = FIRST_EPOCH

    def __str__(self) -> str:
        return f"{self.group}/{self.shard}"


def parse_entity(text: str) -> Entity:
    """Split the text `group/name/id`, in which the id may hold further slashes.

    Raises:
        InvalidEntityError: the text is no key, see `check_entity`.
    """
    parts = text.split("/", 2)
    if len(parts) != 3:
        raise InvalidEntityError(f"{text[:80]!r} is no key: expected GROUP/NAME/ID")
    entity = Entity(*parts)
    check_entity(entity)
    return entity


def check_entity(entity: Entity) -> None:
    """Refuse an entity that no property may have.

    Raises:
        InvalidEntityError: names the part that is empty, too long, not Unicode, or holds a slash.
    """
    for what, value, limit in (
        ("group", entity.group, GROUP_MAX_BYTES),
        ("name", entity.name, NAME_MAX_BYTES),
        ("id", entity.id, ID_MAX_BYTES),
    ):
        if not value:
            raise InvalidEntityError(f"{what} is empty")
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidEntityError(f"{what} {value[:80]!r} is no valid Unicode text") from None
        if size > limit:
            raise InvalidEntityError(f"{what} is longer than {limit} bytes")
        if what != "id" and "/" in value:
            raise InvalidEntityError(f'{what} {value[:80]!r} holds a "/", which only an id may')


@dataclass(frozen=True, slots=True)
class Record:
    """One version of a property, as it is stored and sent.

    `payload` is the encoded property, and `version.digest` is the digest of exactly these bytes.
    """

    entity: Entity
    version: Version
    payload: bytes
    built_upon: int | None = field(default=None, compare=False)
    """The stamp of the version that its writer had seen, 0 if that was none; None if it is not known.

    It says nothing of what the record is, and decides nothing: copies that came by other ways may lack it.
    """

    @property
    def deleted(self) -> bool:
        """Whether this version is a tombstone."""
        return self.version.delete_time != 0


def check_record(record: Record) -> None:
    """Refuse a record that no replica may store, whichever way it came.

    Raises:
        InvalidEntityError: see `check_entity`.
        InvalidRecordError: a stamp is out of range or the payload is over the limit.
    """
    check_entity(record.entity)
    version = record.version
    for what, stamp in (("mod_revision", version.mod_revision), ("delete_time", version.delete_time)):
        if not 0 <= stamp <= STAMP_MAX_NANOSECONDS:
            raise InvalidRecordError(f"{what} {stamp} is not between 0 and 2^62")
    if len(record.payload) > PROPERTY_MAX_BYTES:
        raise InvalidRecordError(
            f"property of {len(record.payload)} bytes is over {PROPERTY_MAX_BYTES} bytes"
        )
