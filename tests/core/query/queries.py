"""What the tests of queries share: values, tags and criteria, and strategies of Hypothesis that draw them."""

from __future__ import annotations

from hypothesis import strategies as st

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, MatchOption, Op

SHARDS = (ShardId("g", 0),)
LONG = "p" * 70
TAGS = ("a", "b")

ONE_SIDED = LogicalExpression(LogicalOp.OR, None, Condition("t", Op.EQ, 1))

texts = st.one_of(
    st.sampled_from(["", "a", "b", "ä", "日本", "日", "\x00", "a\x00", "p" * 62, "p" * 63, LONG, LONG + "q"]),
    st.text(max_size=2),
)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([INT64_MIN, INT64_MAX]))
times = st.builds(Timestamp, st.integers(-2, 2), st.sampled_from([0, 1, 999_999_999]))
values: st.SearchStrategy[TagValue] = st.one_of(
    texts,
    numbers,
    times,
    st.none(),
    st.just(NO_VALUE),
    st.sampled_from([b"", b"\x00", b"p" * 70]),
    st.lists(texts, max_size=3).map(StrArray),
    st.lists(numbers, max_size=9).map(IntArray),
)
tag_sets = st.dictionaries(st.sampled_from(TAGS), values)


def conditions() -> st.SearchStrategy[Criteria]:
    arrays = st.one_of(st.lists(texts, max_size=3).map(StrArray), st.lists(numbers, max_size=3).map(IntArray))
    name = st.sampled_from(TAGS)
    compared = st.sampled_from([Op.EQ, Op.NE, Op.LT, Op.GT, Op.LE, Op.GE])
    analyzer = st.builds(MatchOption, st.sampled_from(["keyword", "simple"]), st.sampled_from(LogicalOp))
    return st.one_of(
        st.builds(Condition, name, compared, st.one_of(texts, numbers, times)),
        st.builds(Condition, name, st.sampled_from([Op.IN, Op.NOT_IN]), arrays),
        st.builds(
            Condition, name, st.sampled_from([Op.HAVING, Op.NOT_HAVING]), st.one_of(texts, numbers, arrays)
        ),
        st.builds(Condition, name, st.just(Op.MATCH), texts, analyzer),
    )


criteria_trees = st.recursive(
    conditions(),
    lambda inner: st.builds(
        LogicalExpression, st.sampled_from(LogicalOp), st.one_of(inner, st.none()), inner
    ),
    max_leaves=5,
)


def both(*sides: Criteria, op: LogicalOp = LogicalOp.AND) -> Criteria:
    whole = sides[0]
    for side in sides[1:]:
        whole = LogicalExpression(op, whole, side)
    return whole
