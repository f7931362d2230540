"""A coordinator's search of a replica, and the candidates that are found, as messages and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import NO_VALUE
from gossipnode.core.model.version import Version
from gossipnode.core.query.criteria import check_criteria
from gossipnode.core.query.replica_messages import Candidate
from gossipnode.core.query.search import Place, Search
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.property_edit import set_tag_value, tag_value
from gossipnode.wire.query.criteria_codec import decode_criteria, encode_criteria
from gossipnode.wire.wire_errors import WireError

CANDIDATE_OVERHEAD_BYTES = 128
"""What a candidate takes in a page beside its id and its copies of the payload."""


class SearchedShard(NamedTuple):
    """A shard that is to be searched."""

    shard: ShardId
    fence: bytes
    """`Placement.fence` of the coordinator's view."""
    properties: bool
    """Whether the records themselves are to be sent."""


def encode_search(search: Search, shards: Sequence[SearchedShard]) -> pb.ScanRequest:
    """A search of these shards.

    Raises:
        WireError: a value of the criteria does not fit its field.
    """
    request = pb.ScanRequest(
        shards=[
            pb.ScanShard(
                group=shard.group,
                shard=shard.shard,
                incarnation=shard.incarnation,
                fence=fence,
                properties=properties,
            )
            for shard, fence, properties in shards
        ],
        name=search.name,
        ids=sorted(search.ids),
        order_by=search.order_by,
        descending=search.descending,
        tombstones=search.tombstones,
        expected=search.expected,
    )
    if search.criteria is not None:
        request.criteria = encode(encode_criteria(search.criteria))
    if search.after is not None:
        _put_place(request.after, search.after)
    return request


def decode_search(request: pb.ScanRequest) -> tuple[Search, list[SearchedShard]]:
    """The search of a request, and its shards.

    Raises:
        WireError: names the field.
        InvalidCriteriaError: the criteria have no meaning.
    """
    shards = [
        SearchedShard(ShardId(each.group, each.shard, each.incarnation), each.fence, each.properties)
        for each in request.shards
    ]
    criteria = None
    if request.criteria:
        criteria = decode_criteria(decode(model.Criteria, request.criteria))
    search = Search(
        shards=tuple(each.shard for each in shards),
        name=request.name,
        ids=frozenset(request.ids),
        criteria=None if criteria is None else check_criteria(criteria),
        order_by=request.order_by,
        descending=request.descending,
        after=_place(request.after) if request.HasField("after") else None,
        tombstones=request.tombstones,
        expected=request.expected,
    )
    return search, shards


def add_candidate(page: pb.ScanPage, place: Place, record: Record, shard: int, *, properties: bool) -> int:
    """Add a candidate to a page; returns about how many bytes it takes."""
    candidate = page.candidates.add(shard=shard)
    _put_place(candidate.place, place)
    version = record.version
    stamp = candidate.version
    stamp.mod_revision, stamp.delete_time, stamp.digest = version
    if properties:
        candidate.property = record.payload
    # The value of the order tag is a part of the payload, and may be as large as nearly all of it.
    copies = properties + (place.value is not NO_VALUE)
    return len(record.payload) * copies + len(place.entity.id) + CANDIDATE_OVERHEAD_BYTES


def decode_candidates(page: pb.ScanPage, shards: Sequence[ShardId]) -> list[Candidate]:
    """The candidates of a page, in order; `shards` are those that were asked for.

    Raises:
        WireError: a candidate is of a shard that was not asked for.
    """
    known = {(shard.group, shard.shard): shard for shard in shards}
    candidates: list[Candidate] = []
    for each in page.candidates:
        place = _place(each.place)
        shard = known.get((place.entity.group, each.shard))
        if shard is None:
            raise WireError("candidates: one of a shard that was not asked for")
        version = Version(each.version.mod_revision, each.version.delete_time, each.version.digest)
        candidates.append(Candidate(place, shard, version, each.property or None))
    return candidates


def _put_place(target: pb.ScanPlace, place: Place) -> None:
    target.group, target.name, target.id = place.entity
    if place.value is not NO_VALUE:
        set_tag_value(target.value, place.value)


def _place(message: pb.ScanPlace) -> Place:
    value = tag_value(message.value) if message.HasField("value") else NO_VALUE
    return Place(Entity(message.group, message.name, message.id), value)
