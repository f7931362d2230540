"""Which lookups in indexes could find the records of a search."""

from __future__ import annotations

import pytest
from hypothesis import given

from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue, Timestamp
from gossipnode.core.query.criteria import (
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
    matches,
)
from gossipnode.core.query.index_key import IndexKind, index_rows, order_key
from gossipnode.core.query.lookup import (
    LABEL_MAX_CHARACTERS,
    KeySpan,
    Lookup,
    LookupKind,
    lookups,
    wanted_indexes,
)
from gossipnode.core.query.search import Search
from tests.core.query.queries import LONG, ONE_SIDED, SHARDS, both, criteria_trees, tag_sets
from tests.core.support import examples


def found_by(criteria: Criteria | None) -> list[tuple[LookupKind, str]]:
    return [(lookup.kind, lookup.label) for lookup in lookups(Search(SHARDS, criteria=criteria))]


def only_lookup(criteria: Criteria) -> Lookup:
    (lookup,) = lookups(Search(SHARDS, criteria=criteria))
    return lookup


def point(kind: IndexKind, value: TagValue) -> KeySpan:
    return KeySpan(kind, order_key(value), order_key(value))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("t", Op.EQ, "ok"), (LookupKind.EQUAL, 't = "ok"')),
        (Condition("t", Op.EQ, -5), (LookupKind.EQUAL, "t = -5")),
        (Condition("t", Op.EQ, Timestamp(7, 5)), (LookupKind.EQUAL, "t = 7.000000005s")),
        (Condition("t", Op.MATCH, 'a"b'), (LookupKind.EQUAL, 't = "a\\"b"')),
        (Condition("t", Op.HAVING, "x"), (LookupKind.EQUAL, 't having "x"')),
        (Condition("t", Op.HAVING, IntArray((4, 5))), (LookupKind.EQUAL, "t having 4")),
        (Condition("t", Op.IN, StrArray("ab")), (LookupKind.ONE_OF, 't in ("a", "b")')),
        (Condition("t", Op.IN, IntArray(range(9))), (LookupKind.ONE_OF, "t in (0, 1, 2, ...)")),
        (Condition("t", Op.LT, 5), (LookupKind.RANGE, "t < 5")),
        (Condition("t", Op.GE, "日本"), (LookupKind.RANGE, 't >= "日本"')),
    ],
)
def test_a_condition_that_an_index_can_serve(condition: Condition, expected: tuple[LookupKind, str]) -> None:
    assert found_by(condition) == [expected]
    assert wanted_indexes(Search(SHARDS, criteria=condition)) == {"t"}


@pytest.mark.parametrize(
    "condition",
    [
        None,
        Condition("t", Op.NE, "ok"),
        Condition("t", Op.NOT_IN, StrArray("ab")),
        Condition("t", Op.NOT_HAVING, "x"),
        Condition("t", Op.HAVING, StrArray()),
        Condition("t", Op.MATCH, "ok", MatchOption("standard")),
        both(Condition("t", Op.EQ, 1), Condition("u", Op.EQ, 1), op=LogicalOp.OR),
        both(Condition("t", Op.EQ, 1), Condition("t", Op.NE, 1), op=LogicalOp.OR),
        both(Condition("t", Op.LT, 1), Condition("t", Op.GT, 5), op=LogicalOp.OR),
        both(ONE_SIDED, Condition("t", Op.EQ, 5), op=LogicalOp.OR),
    ],
)
def test_what_no_index_can_serve(condition: Criteria | None) -> None:
    assert found_by(condition) == []
    assert wanted_indexes(Search(SHARDS, criteria=condition)) == set()


def test_equality_looks_for_elements_too_where_they_can_be_equal() -> None:
    assert only_lookup(Condition("t", Op.EQ, 5)).spans == (
        point(IndexKind.WHOLE, 5),
        point(IndexKind.ELEMENT, 5),
    )
    assert only_lookup(Condition("t", Op.EQ, Timestamp(5, 0))).spans == (
        point(IndexKind.WHOLE, Timestamp(5, 0)),
    )
    assert only_lookup(Condition("t", Op.MATCH, "x")).spans == (point(IndexKind.WHOLE, "x"),)


def test_keys_that_are_equal_once_cut_are_looked_up_once() -> None:
    lookup = only_lookup(Condition("t", Op.IN, StrArray((LONG + "a", "x", LONG + "b"))))
    assert lookup.spans == (point(IndexKind.WHOLE, LONG), point(IndexKind.WHOLE, "x"))


def test_conditions_that_must_all_hold_are_alternatives_with_whole_keys_first() -> None:
    criteria = both(
        Condition("r", Op.GT, 1),
        Condition("i", Op.IN, IntArray((1, 2))),
        LogicalExpression(LogicalOp.OR, None, Condition("e", Op.EQ, 1)),
        Condition("n", Op.NE, 1),
        Condition("h", Op.HAVING, 1),
    )
    assert found_by(criteria) == [
        (LookupKind.EQUAL, "e = 1"),
        (LookupKind.EQUAL, "h having 1"),
        (LookupKind.ONE_OF, "i in (1, 2)"),
        (LookupKind.RANGE, "r > 1"),
    ]
    assert wanted_indexes(Search(SHARDS, criteria=criteria, order_by="o")) == {"e", "h", "i", "r", "o"}


def test_ranges_of_one_tag_and_type_are_one() -> None:
    criteria = both(
        Condition("t", Op.GT, 3),
        Condition("t", Op.LE, 9),
        Condition("t", Op.GE, 5),
        Condition("t", Op.LT, "x"),
    )
    number, text = lookups(Search(SHARDS, criteria=criteria))
    assert number.spans == (KeySpan(IndexKind.WHOLE, order_key(5), order_key(9)),)
    assert number.label == "t > 3 and t <= 9 and t >= 5"
    assert text.label == 't < "x"'
    assert text.spans[0].low <= order_key("") < text.spans[0].high == order_key("x")


def test_alternatives_on_one_tag_are_looked_up_together() -> None:
    criteria = both(
        Condition("t", Op.EQ, "a"),
        Condition("t", Op.IN, StrArray("ab")),
        Condition("t", Op.EQ, "c"),
        op=LogicalOp.OR,
    )
    lookup = only_lookup(criteria)
    assert lookup.kind is LookupKind.ONE_OF
    assert lookup.label == 't = "a" or t in ("a", "b") or t = "c"'
    assert len(set(lookup.spans)) == len(lookup.spans) == 5


def test_labels_are_bounded() -> None:
    criteria = both(*(Condition("t", Op.EQ, f"{i}" * 50) for i in range(60)), op=LogicalOp.OR)
    assert len(only_lookup(criteria).label) <= LABEL_MAX_CHARACTERS + 3
    ranges = both(*(Condition("t", Op.GT, f"{i}" * 50) for i in range(60)))
    assert len(only_lookup(ranges).label) <= LABEL_MAX_CHARACTERS + 3
    assert only_lookup(Condition("t", Op.EQ, "x" * 999)).label == 't = "' + "x" * 40 + '..."'


def test_an_index_is_no_help_for_tombstones_and_for_records_that_are_named() -> None:
    criteria = Condition("t", Op.EQ, 1)
    for search in (
        Search(SHARDS, criteria=criteria, order_by="o", tombstones=True),
        Search(SHARDS, criteria=criteria, order_by="o", name="n", ids=frozenset("1")),
    ):
        assert lookups(search) == []
        assert wanted_indexes(search) == set()
    for search in (
        Search(SHARDS, criteria=criteria, order_by="o", name="n"),
        Search(SHARDS, criteria=criteria, order_by="o", ids=frozenset("1")),
    ):
        assert wanted_indexes(search) == {"t", "o"}


def test_the_indexes_wanted_are_those_that_are_used() -> None:
    search = Search(SHARDS, criteria=Condition("status", Op.EQ, "ok"), order_by="n")
    assert wanted_indexes(search) == {"status", "n"}


@pytest.mark.slow
@examples(200)
@given(criteria_trees, tag_sets)
def test_every_lookup_finds_what_matches(criteria: Criteria, tags: dict[str, TagValue]) -> None:
    criteria = check_criteria(criteria)
    found = lookups(Search(SHARDS, criteria=criteria))
    if not matches(criteria, tags):
        return
    for lookup in found:
        rows = [(row.kind, row.key) for row in index_rows(tags, [lookup.tag])]
        assert any(
            kind == span.kind and span.low <= key <= span.high for kind, key in rows for span in lookup.spans
        )
        if lookup.kind is not LookupKind.RANGE:
            assert all(span.low == span.high for span in lookup.spans)
