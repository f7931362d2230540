"""What the peer of the compatible protocol cannot store, though its messages can carry it."""

from __future__ import annotations

from gossipnode.core.model.property import Record
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property

EMPTY_INT_ARRAY = "peer cannot store an empty int[]"
"""Its process ends on one. It stores empty arrays of strings."""

NO_VALUE = "peer cannot store a tag without a value"
"""Its index refuses the record."""


def problem_at_peer(record: Record) -> str:
    """Why the peer cannot store a record that is stored here; empty if it can."""
    for tag in Property.FromString(record.payload).tags:
        kind = tag.value.WhichOneof("value")
        if kind is None:
            return NO_VALUE
        if kind == "int_array" and not tag.value.int_array.value:
            return EMPTY_INT_ARRAY
    return ""
