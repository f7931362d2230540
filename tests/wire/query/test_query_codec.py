"""What a query message asks for, and the compatible answer."""

from __future__ import annotations

import pytest

from gossipnode.core.query.criteria import Condition, InvalidCriteriaError, Op
from gossipnode.core.query.query import Query
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.pb.banyandb.property.v1 import rpc_pb2
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.query.criteria_codec import encode_criteria
from gossipnode.wire.query.query_codec import decode_query, encode_answer
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import ENTITY


def test_a_query_with_everything_in_it() -> None:
    condition = Condition("k", Op.EQ, "v")
    request = banyandb.QueryRequest(
        groups=["g", "h"],
        name="n",
        ids=["1", "2", "1"],
        criteria=encode_criteria(condition),
        tag_projection=["b", "a"],
        order_by=banyandb.QueryOrder(tag_name="t", sort=model.Sort.DESC),
        limit=5,
    )
    expected = Query(
        groups=("g", "h"),
        name="n",
        ids=frozenset(("1", "2")),
        criteria=condition,
        select=("b", "a"),
        order_by="t",
        descending=True,
        limit=5,
    )
    assert decode_query(request) == expected
    assert decode_query(decode(banyandb.QueryRequest, encode(request))) == expected


@pytest.mark.parametrize("sort", [model.Sort.UNSPECIFIED, model.Sort.ASC])
def test_what_a_query_leaves_out_has_a_default(sort: model.Sort) -> None:
    order = banyandb.QueryOrder(sort=sort)
    assert decode_query(banyandb.QueryRequest(groups=["g"], order_by=order)) == Query(
        groups=("g",),
        name="",
        ids=frozenset(),
        criteria=None,
        select=(),
        order_by="",
        descending=False,
        limit=0,
    )


def test_a_query_of_no_group_is_refused() -> None:
    with pytest.raises(WireError, match=r"^groups: expected at least one$"):
        decode_query(banyandb.QueryRequest())


def test_criteria_are_judged() -> None:
    request = banyandb.QueryRequest(
        groups=["g"], criteria=model.Criteria(condition=model.Condition(name="k"))
    )
    with pytest.raises(WireError, match=r"^criteria\.condition\.op: expected one of"):
        decode_query(request)
    no_tag = encode_criteria(Condition("", Op.EQ, "v"))
    request = banyandb.QueryRequest(groups=["g"], criteria=no_tag)
    with pytest.raises(InvalidCriteriaError):
        decode_query(request)


def test_the_answer_carries_properties_and_the_trace_if_there_is_one() -> None:
    payloads = [build_property(ENTITY, {"a": number}) for number in range(3)]
    read = rpc_pb2.QueryResponse.FromString(encode(encode_answer(payloads)))
    assert [each.SerializeToString() for each in read.properties] == payloads
    assert not read.HasField("trace")
    read = rpc_pb2.QueryResponse.FromString(encode(encode_answer([], common.Trace(trace_id="t"))))
    assert (len(read.properties), read.trace.trace_id) == (0, "t")
