"""Encodes a property for a node, and decodes what a node sent."""

from __future__ import annotations

from gossipnode.client.errors import FailedError, InvalidInputError
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import build_property, read_property
from gossipnode.wire.wire_errors import WireError


def encode_property(record: StoredProperty) -> bytes:
    """The encoded form of a record, stamps included.

    Raises:
        InvalidInputError: it cannot be encoded.
    """
    try:
        return build_property(
            record.entity,
            record.tags,
            create_revision=record.create_revision,
            mod_revision=record.mod_revision,
            updated_at=record.updated_at,
            metadata_id=record.metadata_id,
        )
    except WireError as error:
        raise InvalidInputError(str(error)) from None


def decode_property(record: messages.Record) -> StoredProperty:
    """The record of an answer.

    Raises:
        FailedError: what the node sent is no property.
    """
    try:
        view = read_property(record.property)
    except WireError as error:
        raise FailedError(f"the node sent what is no property: {error}") from None
    return StoredProperty(
        entity=view.entity,
        tags=view.tags,
        create_revision=view.create_revision,
        mod_revision=view.mod_revision,
        updated_at=view.updated_at,
        delete_time=record.delete_time,
        metadata_id=view.metadata_id,
    )
