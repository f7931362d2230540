"""Which requests of clients a version of a record includes: on the wire, and as it is kept beside it."""

from __future__ import annotations

import zlib

from google.protobuf.message import DecodeError

from gossipnode.core.model.property import Entity, check_entity
from gossipnode.core.query.request_lineage import (
    REQUEST_ID_MAX_CHARACTERS,
    KeptLineage,
    KnownRequest,
    Lineage,
    LineagePage,
)
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.stamp_codec import decode_stamp, decode_version, fill_version
from gossipnode.wire.wire_errors import WireError

KNOWN_OVERHEAD_BYTES = 32
"""What a known request takes beside its id."""

LINEAGE_ENTRIES_MAX = 64
"""Known requests in one message: more than a replica remembers of a record."""

_CHECK_BYTES = 4


def lineage_size(lineage: Lineage | None) -> int:
    """About how many bytes a lineage takes, as `request_size` counts them."""
    if lineage is None or not lineage.known:
        return 0
    return sum(len(known.request_id) + KNOWN_OVERHEAD_BYTES for known in lineage.known)


def fill_lineage(message: pb.Lineage, lineage: Lineage) -> None:
    """Write a lineage into a message that is there, even if it names nothing."""
    message.SetInParent()
    message.since = lineage.since
    for request_id, created, stamp in lineage.known:
        message.known.add(id=request_id, created=created, stamp=stamp)


def decode_lineage(message: pb.Lineage) -> Lineage:
    """Read a lineage.

    Raises:
        WireError: names the field that no replica can have sent.
    """
    since = decode_stamp("Lineage.since", message.since)
    if not message.known:
        return Lineage((), since)
    if len(message.known) > LINEAGE_ENTRIES_MAX:
        raise WireError(f"Lineage.known: {len(message.known)}, expected {LINEAGE_ENTRIES_MAX} at most")
    if any(len(one.id) > REQUEST_ID_MAX_CHARACTERS or not one.id for one in message.known):
        raise WireError(f"Lineage.known.id: expected 1 to {REQUEST_ID_MAX_CHARACTERS} characters")
    known = tuple(
        KnownRequest(one.id, one.created, decode_stamp("Lineage.known.stamp", one.stamp))
        for one in message.known
    )
    return Lineage(known, since)


def encode_kept(kept: KeptLineage) -> bytes:
    """A lineage as a store keeps it beside its record: four bytes of CRC-32, then the message."""
    message = pb.KeptLineage()
    fill_version(message.version, kept.version)
    fill_lineage(message.lineage, kept.lineage)
    encoded = message.SerializeToString()
    return zlib.crc32(encoded).to_bytes(_CHECK_BYTES, "big") + encoded


def decode_kept(raw: bytes) -> KeptLineage | None:
    """What `encode_kept` made; None for nothing, and for what has rotted."""
    check, encoded = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if not encoded or zlib.crc32(encoded).to_bytes(_CHECK_BYTES, "big") != check:
        return None
    try:
        message = pb.KeptLineage.FromString(encoded)
        version = decode_version(message.version)
        return None if version is None else KeptLineage(version, decode_lineage(message.lineage))
    except (DecodeError, WireError):
        return None


def encode_key(entity: Entity | None) -> pb.RecordKey | None:
    """The name and id of an entity; its group goes with the shard."""
    return None if entity is None else pb.RecordKey(name=entity.name, id=entity.id)


def decode_key(group: str, key: pb.RecordKey) -> Entity:
    """The entity of a key.

    Raises:
        InvalidEntityError: no record can have it.
    """
    entity = Entity(group, key.name, key.id)
    check_entity(entity)
    return entity


def encode_page(page: LineagePage) -> pb.LineagesReply:
    """A page of lineages, each as it is kept."""
    reply = pb.LineagesReply(after=encode_key(page.after))
    for entity, lineage in page.found:
        reply.found.add(key=encode_key(entity), lineage=lineage)
    return reply


def decode_page(group: str, reply: pb.LineagesReply) -> LineagePage:
    """A page of the lineages of a group's shard.

    Raises:
        InvalidEntityError: it names what no record can have.
    """
    found = [(decode_key(group, one.key), one.lineage) for one in reply.found]
    return LineagePage(found, decode_key(group, reply.after) if reply.HasField("after") else None)
