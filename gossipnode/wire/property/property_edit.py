"""Stored properties, read and built, with tags as Python values; and reduced to some of their tags.

Payloads go in and come out in their canonical form. A field that this version does not know is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import NULL_VALUE

from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import NO_VALUE, IntArray, NoValue, StrArray, TagValue, Timestamp
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.generated.pb.banyandb.model.v1 import common_pb2 as model
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.wire_errors import CrowdedError, InvalidPropertyError, UnstorableError, WireError


@dataclass(frozen=True, slots=True)
class PropertyView:
    """A property, decoded. `tags` keep their order; revisions are nanoseconds."""

    entity: Entity
    metadata_id: int
    create_revision: int
    mod_revision: int
    updated_at: Timestamp | None
    tags: dict[str, TagValue]


# --- reading ---


def read_property(payload: bytes) -> PropertyView:
    """Decode a whole property.

    Raises:
        WireError: the payload is malformed.
    """
    message = _decoded(payload)
    metadata = message.metadata
    moment = message.updated_at
    return PropertyView(
        entity=Entity(metadata.group, metadata.name, message.id),
        metadata_id=metadata.id,
        create_revision=metadata.create_revision,
        mod_revision=metadata.mod_revision,
        updated_at=Timestamp(moment.seconds, moment.nanos) if message.HasField("updated_at") else None,
        tags={tag.key: tag_value(tag.value) for tag in message.tags},
    )


def read_tags(payload: bytes, keys: Collection[str] | None = None) -> dict[str, TagValue]:
    """The tags named by `keys`, or all, in their order. If a peer stored a key twice, the last one counts.

    Raises:
        WireError: the payload is malformed.
        UnstorableError: it has more tags, or longer arrays, than a replica takes now; an older one took it.
    """
    try:
        check_elements(Property, payload, "Property")
    except CrowdedError as fault:
        raise UnstorableError(str(fault)) from None
    tags = _decoded(payload).tags
    if keys is None:
        return {tag.key: tag_value(tag.value) for tag in tags}
    return {tag.key: tag_value(tag.value) for tag in tags if tag.key in keys}


def tag_value(value: model.TagValue) -> TagValue:
    """A tag's value as a Python value."""
    match value.WhichOneof("value"):
        case "str":
            return value.str.value
        case "int":
            return value.int.value
        case "str_array":
            return StrArray(value.str_array.value)
        case "int_array":
            return IntArray(value.int_array.value)
        case "binary_data":
            return value.binary_data
        case "timestamp":
            return Timestamp(value.timestamp.seconds, value.timestamp.nanos)
        case "null":
            return None
        case _:
            return NO_VALUE


# --- writing ---


def build_property(
    entity: Entity,
    tags: Mapping[str, TagValue],
    *,
    create_revision: int = 0,
    mod_revision: int = 0,
    updated_at: Timestamp | None = None,
    metadata_id: int = 0,
) -> bytes:
    """Encode a property. Revisions are nanoseconds. Nothing is checked beyond what the fields can hold.

    Raises:
        InvalidPropertyError: a value does not fit its field; names the tag.
    """
    message = Property()
    try:
        message.metadata.group, message.metadata.name, message.id = entity
        message.metadata.id = metadata_id
        message.metadata.create_revision = create_revision
        message.metadata.mod_revision = mod_revision
        if updated_at is not None:
            message.updated_at.seconds, message.updated_at.nanos = updated_at
    except ValueError as fault:
        raise InvalidPropertyError(f"property: {fault}") from None
    for key, value in tags.items():
        try:
            tag = message.tags.add(key=key)
            if type(value) is str and value:
                # This is the short way, for nearly all tags. An empty text would not be stored by it.
                tag.value.str.value = value
            else:
                set_tag_value(tag.value, value)
        except ValueError as fault:
            raise InvalidPropertyError(f"property.tags: tag {key!r}: {fault}") from None
        if isinstance(value, NoValue):
            tag.ClearField("value")
    return message.SerializeToString(deterministic=True)


def set_tag_value(target: model.TagValue, value: TagValue) -> None:
    """Put a Python value into a message.

    Raises:
        ValueError: it does not fit.
    """
    match value:
        case None:
            target.null = NULL_VALUE  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        case bool():
            raise ValueError("a bool is no tag value")
        case str():
            target.str.value = value
        case int():
            target.int.value = value
        case bytes():
            target.binary_data = value
        case StrArray():
            target.str_array.SetInParent()
            target.str_array.value.extend(value)
        case IntArray():
            target.int_array.SetInParent()
            target.int_array.value.extend(value)
        case Timestamp(seconds, nanos):
            target.timestamp.seconds, target.timestamp.nanos = seconds, nanos
        case NoValue():
            target.Clear()


def project(payload: bytes, keys: Collection[str]) -> bytes:
    """The property with the tags named and no other ones, in their order.

    Raises:
        WireError: the payload is malformed.
    """
    message = _decoded(payload)
    for index in reversed(range(len(message.tags))):
        if message.tags[index].key not in keys:
            del message.tags[index]
    return message.SerializeToString(deterministic=True)


def _decoded(payload: bytes) -> Property:
    try:
        return Property.FromString(payload)
    except DecodeError:
        raise WireError("Property: malformed, truncated, or with text that is not UTF-8") from None
