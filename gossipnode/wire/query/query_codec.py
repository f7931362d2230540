"""What a client's query asks for, from the message; and the compatible answer."""

from __future__ import annotations

from collections.abc import Sequence

from gossipnode.core.model.property import Entity
from gossipnode.core.query.criteria import check_criteria
from gossipnode.core.query.query import Query
from gossipnode.wire.envelope.tables import make
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.query.criteria_codec import decode_criteria
from gossipnode.wire.wire_errors import WireError


def decode_query(request: banyandb.QueryRequest, *, after: Entity | None = None, ack: str = "") -> Query:
    """What a query asks for. `after` and `ack` come beside the message, from wherever the service has them.

    Raises:
        WireError: names the field.
        InvalidCriteriaError: the criteria have no meaning.
    """
    if not request.groups:
        raise WireError("groups: expected at least one")
    criteria = decode_criteria(request.criteria)
    return Query(
        groups=tuple(request.groups),
        name=request.name,
        ids=frozenset(request.ids),
        criteria=None if criteria is None else check_criteria(criteria),
        select=tuple(request.tag_projection),
        order_by=request.order_by.tag_name,
        descending=request.order_by.sort == model.Sort.DESC,
        limit=request.limit,
        after=after,
        ack=ack,
    )


def encode_answer(properties: Sequence[bytes], trace: common.Trace | None = None) -> banyandb.QueryResponse:
    """The compatible answer to a query, in one message."""
    traced = {} if trace is None else {"trace": trace}
    return make(banyandb.QueryResponse, properties=list(properties), **traced)
