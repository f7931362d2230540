"""A record as our own nodes send it to each other: what is stored, and upon which version it was built."""

from __future__ import annotations

from gossipnode.core.model.limits import STAMP_MAX_NANOSECONDS
from gossipnode.core.model.property import Record
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.payload import decode_record


def fill_stored_record(message: pb.StoredRecord, record: Record) -> None:
    """Write a record into a message."""
    message.property = record.payload
    if record.version.delete_time:
        message.delete_time = record.version.delete_time
    if record.built_upon is not None:
        message.built_upon = record.built_upon


def decode_stored_record(message: pb.StoredRecord) -> Record:
    """Read a record. What it was built upon counts as unknown if no version can have that stamp.

    Raises:
        WireError: the property is malformed.
        UnstorableError: it is well-formed, but no replica may store it.
    """
    built_upon = message.built_upon if message.HasField("built_upon") else None
    if built_upon is not None and not 0 <= built_upon <= STAMP_MAX_NANOSECONDS:
        built_upon = None
    return decode_record(message.property, message.delete_time, built_upon)
