"""Watches, waits and explanations as messages, and back.

An event is encoded once for all the watches that tell it: answers are made of bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import DecodeError

from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.watch.explanation import ReplicaVersion, Winner
from gossipnode.core.watch.watch_filter import EventKind
from gossipnode.core.watch.watch_token import FeedPosition, TokenError, WatchToken
from gossipnode.wire.bounds.element_count import check_elements
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.tables import make, prefixed
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.banyandb.property.v1 import property_pb2
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as replica_pb
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb
from gossipnode.wire.record_codec import encode_record
from gossipnode.wire.replica.arrival_codec import decode_arrival, fill_arrival
from gossipnode.wire.replica.stamp_codec import decode_stamp, decode_version, fill_version
from gossipnode.wire.wire_errors import WireError

_EVENTS_KEY = b"\x0a"
_TOKEN_KEY = b"\x12"

TOKEN_MAX_BYTES = 1 << 18
"""A token of a group of 65,536 shards, each at another replica than the one before it, is shorter."""

TOKENS_KEPT = 8
"""Tokens that are not encoded again. A large one takes some hundred kilobytes."""


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    """One answer of a watch: encoded events, and the token after them (empty until the records are told)."""

    events: Sequence[bytes] = ()
    token: bytes = b""


def encode_watch_answer(answer: WatchAnswer) -> bytes:
    """The bytes of a `WatchResponse`."""
    pieces: list[bytes] = []
    for event in answer.events:
        pieces += (_EVENTS_KEY, prefixed(event))
    if answer.token:
        pieces += (_TOKEN_KEY, prefixed(answer.token))
    return b"".join(pieces)


def encode_change_event(kind: EventKind, record: Record, old: bytes | None, arrival: Arrival | None) -> bytes:
    """An event that tells of a record."""
    beside: dict[str, object] = {} if old is None else {"old": old}
    if arrival is not None:
        beside |= {"through": arrival.through.value, "from_": arrival.source}
    return encode(make(v1.WatchEvent, event=kind.value, record=encode_record(record), **beside))


def encode_purge_event(entity: Entity) -> bytes:
    """An event that tells that nothing of a record is left."""
    key = property_pb2.Property(id=entity.id)
    key.metadata.group, key.metadata.name = entity.group, entity.name
    record = make(v1.Record, property=key.SerializeToString())
    return encode(make(v1.WatchEvent, event=EventKind.PURGE.value, record=record))


def encode_sign_event(kind: EventKind, reason: str = "") -> bytes:
    """An event that tells of no record."""
    return encode(make(v1.WatchEvent, event=kind.value, reason=reason))


@lru_cache(maxsize=TOKENS_KEPT)
def encode_token(token: WatchToken) -> bytes:
    """A token as a client keeps it. Watches that stand at the same place have the same one."""
    message = pb.WatchToken(cluster=token.cluster, group=token.group, incarnation=token.incarnation)
    for node, birth, sequence, shards, mark in token.positions:
        place = message.positions.add(node=node, birth=birth, sequence=sequence, mark=mark)
        place.shards.extend(sorted(shards))
    return message.SerializeToString()


def decode_token(token: bytes) -> WatchToken:
    """Read a token.

    Raises:
        TokenError: the bytes are not a token.
    """
    if len(token) > TOKEN_MAX_BYTES:
        raise TokenError(f"since: {len(token)} bytes are no token of a watch")
    try:
        check_elements(pb.WatchToken, token, "WatchToken")
        message = pb.WatchToken.FromString(token)
    except (DecodeError, WireError):
        raise TokenError("since: this is no token of a watch, or it was cut") from None
    positions = tuple(
        FeedPosition(each.node, each.birth, each.sequence, frozenset(each.shards), each.mark)
        for each in message.positions
    )
    if not message.cluster or not positions:
        raise TokenError("since: this is no token of a watch, or it was cut")
    return WatchToken(message.cluster, message.group, message.incarnation, positions)


def encode_arrived(told: ReplicaVersion) -> replica_pb.ArrivedReply:
    """What this node holds of a record."""
    reply = replica_pb.ArrivedReply()
    _fill_told(reply, told)
    if told.built_upon is not None:
        reply.built_upon = told.built_upon
    return reply


def decode_arrived(node: str, reply: replica_pb.ArrivedReply) -> ReplicaVersion:
    """What another node holds of a record.

    Raises:
        WireError: no replica can hold that.
    """
    version = decode_version(reply.version) if reply.HasField("version") else None
    arrival = decode_arrival(reply.arrival) if reply.HasField("arrival") else None
    replaced = None
    if reply.HasField("replaced"):
        replaced = (
            decode_stamp("ArrivedReply.replaced", reply.replaced.mod_revision),
            decode_stamp("ArrivedReply.replaced", reply.replaced.delete_time),
        )
    built_upon = None
    if reply.HasField("built_upon"):
        built_upon = decode_stamp("ArrivedReply.built_upon", reply.built_upon)
    return ReplicaVersion(node, version, arrival, replaced, built_upon=built_upon)


def encode_explanation(replicas: Iterable[ReplicaVersion], winner: Winner) -> pb.ExplainResponse:
    """What replicas hold of a record, and which version wins."""
    reply = pb.ExplainResponse(winners=winner.nodes, why=winner.why)
    for replica in replicas:
        told = reply.replicas.add(node=replica.node, problem=replica.problem, overlap=replica.overlap)
        _fill_told(told, replica)
    return reply


def _fill_told(
    message: replica_pb.ArrivedReply | pb.ExplainResponse.ReplicaVersion, told: ReplicaVersion
) -> None:
    if told.version is not None:
        fill_version(message.version, told.version)
    if told.arrival is not None:
        fill_arrival(message.arrival, told.arrival)
    if told.replaced is not None:
        fill_version(message.replaced, Version(*told.replaced, b""))
