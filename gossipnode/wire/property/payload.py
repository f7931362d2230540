"""Two doors for an encoded Property: one for peers, one for clients.

Both read strictly and re-encode in the canonical form, so that equal content has equal bytes and one digest.
From peers everything is taken that can be stored at all: replicas must agree. Clients are held to the rules.
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
from gossipnode.wire.wire_errors import InvalidPropertyError, UnstorableError

TIMESTAMP_SECONDS_MIN = -62_135_596_800
"""0001-01-01T00:00:00Z. Before it, and after the maximum, a moment has no form in JSON, and so no digest."""
TIMESTAMP_SECONDS_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z."""
NANOS_MAX = 999_999_999

# A tag's value that is a timestamp, in canonical bytes: the key of Tag.value, a length of at most 24 (two
# numbers of at most ten bytes, each with its key, in a field of its own), the key of TagValue.timestamp.
_MAYBE_TIMESTAMP = re.compile(rb"\x12[\x02-\x18]\x3a")


def decode_record(payload: bytes, delete_time: int) -> Record:
    """The record of a Property as it came from a peer. Its payload is re-encoded in the canonical form.

    Raises:
        WireError: the bytes are malformed, or a known field has the wrong wire type.
        UnstorableError: they are whole, but no replica may store the property.
    """
    parsed = parse(Property, payload)
    message, canonical, _ = parsed
    if not message.HasField("metadata"):
        raise UnstorableError("Property.metadata: missing")
    metadata = message.metadata
    entity = Entity(metadata.group, metadata.name, message.id)
    version = Version(metadata.mod_revision, delete_time, payload_digest(canonical))
    record = Record(entity, version, canonical)
    try:
        check_record(record)
    except CoreError as fault:
        raise UnstorableError(f"Property: {fault}") from None
    problem = _timestamp_problem(parsed)
    if problem is not None:
        raise UnstorableError(f"Property.{problem}")
    return record


def check_property(data: bytes, path: str = "property") -> tuple[Entity, Parsed[Property]]:
    """A client's Property: its entity, the message, and its canonical bytes. `path` is how errors call it.

    Raises:
        WireError: the bytes are malformed, or a known field has the wrong wire type.
        InvalidPropertyError: a rule is broken; names the field.
    """
    parsed = parse(Property, data, path)
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
    # Four bytes a character at most: nearly always this is all there is to look at.
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
    """The first timestamp that JSON cannot express, with its path inside the property."""
    message = parsed.message
    if message.HasField("updated_at") and not _expressible(message.updated_at):
        return f"updated_at: {_OUT_OF_RANGE}"
    # Looking at each tag costs more than all else here, so it is done only where a timestamp may be. Unknown
    # fields inside of one could hide it from the pattern.
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
