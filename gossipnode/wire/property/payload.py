"""The two ways in for an encoded Property: one for what peers send, one for what clients send.

Both read strictly and encode again in the canonical form, so that equal content has equal bytes and one
digest. From a peer everything is taken that can be stored at all, because replicas must agree. A client's
property is held to the rules.
"""

from __future__ import annotations

import re
from typing import Protocol

from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES, TAG_KEY_MAX_BYTES
from gossipnode.core.model.property import Entity, Record, check_entity, check_record
from gossipnode.core.model.version import Version, payload_digest
from gossipnode.wire.generated.pb.banyandb.property.v1.property_pb2 import Property
from gossipnode.wire.property.payload_parse import Parsed, parse
from gossipnode.wire.wire_errors import CrowdedError, InvalidPropertyError, UnstorableError

TIMESTAMP_SECONDS_MIN = -62_135_596_800
"""0001-01-01T00:00:00Z. An earlier moment, or one after the maximum, has no form in JSON and so no digest."""
TIMESTAMP_SECONDS_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z."""
NANOS_MAX = 999_999_999

# The start of a tag's value that is a timestamp, in canonical bytes: the key of Tag.value, a length of at
# most 24 (two numbers of at most ten bytes, each after its key, in one field), the key of TagValue.timestamp.
_MAYBE_TIMESTAMP = re.compile(rb"\x12[\x02-\x18]\x3a")


def decode_record(payload: bytes, delete_time: int, built_upon: int | None = None) -> Record:
    """The record of a Property that a peer sent. Its payload is encoded again in the canonical form.

    Raises:
        WireError: the bytes are malformed, or a known field has the wrong wire type.
        UnstorableError: they are well-formed, but no replica may store the property.
    """
    try:
        parsed = parse(Property, payload)
    except CrowdedError as fault:
        raise UnstorableError(str(fault)) from None
    message, canonical, _ = parsed
    if not message.HasField("metadata"):
        raise UnstorableError("Property.metadata: missing")
    metadata = message.metadata
    entity = Entity(metadata.group, metadata.name, message.id)
    version = Version(metadata.mod_revision, delete_time, payload_digest(canonical))
    record = Record(entity, version, canonical, built_upon)
    try:
        check_record(record)
    except CoreError as fault:
        raise UnstorableError(f"Property: {fault}") from None
    problem = _timestamp_problem(parsed)
    if problem is not None:
        raise UnstorableError(f"Property.{problem}")
    return record


def with_next_revision(record: Record) -> Record:
    """The same record one revision later: the same bytes on each node that does it."""
    message = Property.FromString(record.payload)
    message.metadata.mod_revision += 1
    return decode_record(message.SerializeToString(deterministic=True), record.version.delete_time)


def check_property(data: bytes, path: str = "property") -> tuple[Entity, Parsed[Property]]:
    """The entity, the message and the canonical bytes of a client's Property. Errors call it `path`.

    Raises:
        WireError: the bytes are malformed, or a known field has the wrong wire type.
        InvalidPropertyError: a rule is broken; names the field.
    """
    try:
        parsed = parse(Property, data, path)
    except CrowdedError as fault:
        raise InvalidPropertyError(str(fault)) from None
    message, canonical, _ = parsed
    if not message.HasField("metadata"):
        raise InvalidPropertyError(f"{path}.metadata is missing")
    entity = Entity(message.metadata.group, message.metadata.name, message.id)
    try:
        check_entity(entity)
    except CoreError as fault:
        # The fault starts with the part that it is about: group, name or id.
        where = f"{path}." if str(fault).startswith("id ") else f"{path}.metadata."
        raise InvalidPropertyError(f"{where}{fault}") from None
    if not message.tags:
        raise InvalidPropertyError(f"{path}.tags is empty: a property has at least one tag")
    _check_keys(message, path)
    problem = _timestamp_problem(parsed)
    if problem is not None:
        raise InvalidPropertyError(f"{path}.{problem}")
    if len(canonical) > PROPERTY_MAX_BYTES:
        raise InvalidPropertyError(f"{path} of {len(canonical)} bytes is over {PROPERTY_MAX_BYTES} bytes")
    return entity, parsed


def _check_keys(message: Property, path: str) -> None:
    keys = {tag.key for tag in message.tags}
    # A character has at most four bytes, so nearly always this quick check is enough.
    if (
        len(keys) == len(message.tags)
        and "" not in keys
        and 4 * len(max(keys, key=len, default="")) <= (TAG_KEY_MAX_BYTES)
    ):
        return
    seen: dict[str, int] = {}
    for index, tag in enumerate(message.tags):
        key, field = tag.key, f"{path}.tags[{index}].key"
        if not key:
            raise InvalidPropertyError(f"{field} is empty")
        if len(key) > TAG_KEY_MAX_BYTES or len(key.encode()) > TAG_KEY_MAX_BYTES:
            raise InvalidPropertyError(f"{field} is longer than {TAG_KEY_MAX_BYTES} bytes")
        if key in seen:
            raise InvalidPropertyError(f"{field} is a duplicate of tags[{seen[key]}]")
        seen[key] = index


def _timestamp_problem(parsed: Parsed[Property]) -> str | None:
    """The path and the fault of the first timestamp that JSON cannot express, or None."""
    message = parsed.message
    if message.HasField("updated_at") and not _expressible(message.updated_at):
        return f"updated_at: {_OUT_OF_RANGE}"
    # To look at each tag takes 6.3 us for a property of 14 tags, the pattern 1.4 us (measured). So tags are
    # looked at only where a timestamp may be; unknown fields inside of one could hide it from the pattern.
    if not parsed.has_unknown and _MAYBE_TIMESTAMP.search(parsed.canonical) is None:
        return None
    for index, tag in enumerate(message.tags):
        if tag.value.HasField("timestamp") and not _expressible(tag.value.timestamp):
            return f"tags[{index}].value.timestamp: {_OUT_OF_RANGE}"
    return None


_OUT_OF_RANGE = "not between the years 1 and 9999, or with nanos not between 0 and 999999999"


class _Moment(Protocol):
    @property
    def seconds(self) -> int: ...
    @property
    def nanos(self) -> int: ...


def _expressible(moment: _Moment) -> bool:
    in_years = TIMESTAMP_SECONDS_MIN <= moment.seconds <= TIMESTAMP_SECONDS_MAX
    return in_years and 0 <= moment.nanos <= NANOS_MAX
