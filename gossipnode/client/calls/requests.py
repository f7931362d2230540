"""Builds the messages that ask a node for something, from plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.property_codec import encode_property
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.core.model.limits import PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity
from gossipnode.core.query.criteria import Criteria
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as watch_pb
from gossipnode.wire.query.criteria_codec import encode_criteria

WAIT_MAX_MILLISECONDS = 3_600_000
"""The longest wait that a node grants."""

_STRATEGY_MERGE, _STRATEGY_REPLACE = 1, 2
_SORT_DESC, _SORT_ASC = 1, 2


def apply_request(
    record: StoredProperty, *, replace: bool, ack: str, request_id: str = ""
) -> messages.ApplyRequest:
    """The message that merges a record's tags into the stored one, or puts them in place of all its tags.

    Raises:
        InvalidInputError: it cannot be encoded, or is too large.
    """
    payload = encode_property(record)
    if len(payload) > PROPERTY_MAX_BYTES:
        raise InvalidInputError(
            f"{record.entity.text}: the record has {len(payload):,} bytes, over {PROPERTY_MAX_BYTES:,}"
        )
    strategy = banyandb.ApplyRequestStrategy(_STRATEGY_REPLACE if replace else _STRATEGY_MERGE)
    return messages.ApplyRequest(property=payload, strategy=strategy, ack=ack, request_id=request_id)


def delete_request(entity: Entity, ack: str, *, request_id: str = "") -> messages.DeleteRequest:
    """The message that deletes a record."""
    group, name, id_ = entity
    return messages.DeleteRequest(group=group, name=name, id=id_, ack=ack, request_id=request_id)


def get_request(entity: Entity, ack: str) -> messages.GetRequest:
    """The message that asks for one record."""
    group, name, id_ = entity
    return messages.GetRequest(group=group, name=name, id=id_, ack=ack)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What a query asks for. Empty means all; limit 0 means 100; an empty ack means the group's own level.

    With `after`, only records that come after that one in the order of the query.
    """

    groups: Sequence[str]
    name: str = ""
    ids: Sequence[str] = ()
    where: Criteria | None = None
    select: Sequence[str] = ()
    order_by: str = ""
    descending: bool = False
    limit: int = 0
    after: Entity | None = None
    ack: str = ""


def query_request(options: QueryOptions) -> messages.QueryRequest:
    """The message of a query.

    Raises:
        WireError: a value in its criteria does not fit.
    """
    request = banyandb.QueryRequest(
        groups=list(options.groups),
        name=options.name,
        ids=list(options.ids),
        tag_projection=list(options.select),
        limit=options.limit,
    )
    if options.where is not None:
        request.criteria = encode_criteria(options.where)
    if options.order_by:
        sort = model.Sort(_SORT_DESC if options.descending else _SORT_ASC)
        request.order_by = banyandb.QueryOrder(tag_name=options.order_by, sort=sort)
    after = options.after.text if options.after is not None else ""
    return messages.QueryRequest(query=request, after=after, ack=options.ack)


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What a watch asks for. Empty means all; with an empty `since` the records as they are come first."""

    group: str
    name: str = ""
    ids: Sequence[str] = ()
    where: Criteria | None = None
    since: bytes = b""
    ack: str = ""


def watch_request(options: WatchOptions, since: bytes) -> messages.WatchRequest:
    """The message of a watch that goes on from `since`.

    Raises:
        WireError: a value in its criteria does not fit.
    """
    request = messages.WatchRequest(
        group=options.group, name=options.name, ids=list(options.ids), since=since, ack=options.ack
    )
    if options.where is not None:
        request.where = encode_criteria(options.where)
    return request


def wait_request(entity: Entity, revision: int, seconds: float) -> watch_pb.WaitRequest:
    """The message of a wait until every replica has a record."""
    group, name, id_ = entity
    milliseconds = max(1, round(seconds * 1000))
    return watch_pb.WaitRequest(
        group=group,
        name=name,
        id=id_,
        revision=revision,
        milliseconds=min(milliseconds, WAIT_MAX_MILLISECONDS),
    )


def explain_request(entity: Entity) -> watch_pb.ExplainRequest:
    """The message that asks why a record is what it is."""
    group, name, id_ = entity
    return watch_pb.ExplainRequest(group=group, name=name, id=id_)
