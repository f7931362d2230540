"""The criteria of a query, as messages and as values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.tag_value import NO_VALUE, StrArray, Timestamp
from gossipnode.core.query.criteria import (
    CRITERIA_DEPTH_MAX,
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
)
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.generated.bp.banyandb.model import v1 as bp
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.pb.banyandb.model.v1 import query_pb2 as pb
from gossipnode.wire.query.criteria_codec import decode_criteria, encode_criteria
from gossipnode.wire.wire_errors import WireError
from tests.wire.support import TAG_VALUES, TEXTS, examples

OPTIONS = st.builds(MatchOption, st.sampled_from(["keyword", "url"]), st.sampled_from(LogicalOp))
CONDITIONS = st.builds(Condition, TEXTS, st.sampled_from(Op), TAG_VALUES | st.just(NO_VALUE), OPTIONS)
CRITERIA: st.SearchStrategy[Criteria] = st.recursive(
    CONDITIONS,
    lambda side: st.builds(LogicalExpression, st.sampled_from(LogicalOp), side, side),
    max_leaves=6,
)


@pytest.mark.slow
@examples(100)
@given(CRITERIA)
def test_criteria_come_back_as_they_went(criteria: Criteria) -> None:
    message = encode_criteria(criteria)
    assert decode_criteria(message) == criteria
    data = encode(message)
    assert decode_criteria(decode(bp.Criteria, data)) == criteria
    assert pb.Criteria.FromString(data).SerializeToString() == data


def test_the_numbers_are_the_ones_on_the_wire() -> None:
    for op in Op:
        name = f"BINARY_OP_{op.name}"
        criteria = pb.Criteria(condition=pb.Condition(name="k", op=name))  # type: ignore[arg-type]
        criteria.condition.value.timestamp.nanos = 5
        read = decode_criteria(decode(bp.Criteria, criteria.SerializeToString()))
        assert read == Condition("k", op, Timestamp(0, 5))


def test_what_a_message_leaves_out_has_a_default() -> None:
    assert decode_criteria(bp.Criteria()) is None
    read = decode_criteria(
        bp.Criteria(condition=bp.Condition(name="k", op=bp.ConditionBinaryOp.BINARY_OP_MATCH))
    )
    assert read == Condition("k", Op.MATCH, NO_VALUE, MatchOption("keyword", LogicalOp.OR))


def test_an_expression_with_one_side_is_that_side() -> None:
    side = Condition("k", Op.IN, StrArray(("a",)))
    for kept in ("left", "right"):
        expression: Any = bp.LogicalExpression(**{kept: encode_criteria(side)})
        assert decode_criteria(bp.Criteria(le=expression)) == side
    one_sided = LogicalExpression(LogicalOp.AND, None, side)
    assert decode_criteria(encode_criteria(one_sided)) == side


def condition(**fields: Any) -> bp.Criteria:
    return bp.Criteria(condition=bp.Condition(name="k", **fields))


def both(left: bp.Criteria, right: bp.Criteria, **fields: Any) -> bp.Criteria:
    return bp.Criteria(le=bp.LogicalExpression(left=left, right=right, **fields))


EQ = condition(op=bp.ConditionBinaryOp.BINARY_OP_EQ)
WRONG = {
    "criteria.condition.op: expected one of EQ, NE,": condition(),
    "criteria.condition.op: expected": condition(op=99),
    "criteria.le.op: expected AND or OR, not 0": both(EQ, EQ),
    "criteria.le: has neither": bp.Criteria(le=bp.LogicalExpression()),
    "criteria.le.right.condition.op": both(EQ, condition(), op=1),
    "criteria.condition.match_option.operator: expected AND or OR, not 7": condition(
        op=11, match_option=bp.ConditionMatchOption(operator=7)
    ),
    "criteria.condition.value: malformed": condition(op=1, value=bp.TagValue(timestamp=b"\x08")),
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_name_the_field(text: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_criteria(WRONG[text])
    assert str(caught.value).startswith(text)


def test_a_value_that_does_not_fit_names_the_tag() -> None:
    with pytest.raises(WireError, match="criteria: the value for tag 'k': "):
        encode_criteria(Condition("k", Op.EQ, 2**63))


def test_the_deepest_criteria_that_the_core_takes_pass_the_wire() -> None:
    criteria: Criteria = Condition("k", Op.EQ, "v")
    for _ in range(CRITERIA_DEPTH_MAX - 1):
        criteria = LogicalExpression(LogicalOp.AND, criteria, Condition("k", Op.EQ, "v"))
    check_criteria(criteria)
    data = encode(banyandb.QueryRequest(criteria=encode_criteria(criteria)))
    assert decode_criteria(decode(banyandb.QueryRequest, data).criteria) == criteria
