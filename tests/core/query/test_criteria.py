from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import NO_VALUE, IntArray, StrArray, TagValue, Timestamp
from gossipnode.core.query.criteria import (
    CRITERIA_CONDITIONS_MAX,
    CRITERIA_DEPTH_MAX,
    CRITERIA_VALUES_MAX,
    Condition,
    Criteria,
    InvalidCriteriaError,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
    matches,
    sort_key,
)

TAGS: dict[str, TagValue] = {
    "s": "mid",
    "n": 5,
    "t": Timestamp(100, 7),
    "b": b"\x00",
    "sa": StrArray(("x", "y")),
    "ia": IntArray((1, 2)),
    "null": None,
    "none": NO_VALUE,
}
NEGATED = (Op.NE, Op.NOT_IN, Op.NOT_HAVING)


def holds(name: str, op: Op, value: TagValue, option: MatchOption | None = None) -> bool:
    condition = Condition(name, op, value, option or MatchOption())
    assert check_criteria(condition) is condition
    return matches(condition, TAGS)


@pytest.mark.parametrize(
    ("name", "op", "value", "expected"),
    [
        ("s", Op.EQ, "mid", True),
        ("s", Op.EQ, "other", False),
        ("s", Op.NE, "mid", False),
        ("s", Op.NE, "other", True),
        ("s", Op.LT, "mie", True),
        ("s", Op.LT, "mid", False),
        ("s", Op.LE, "mid", True),
        ("s", Op.LE, "mic", False),
        ("s", Op.GT, "mic", True),
        ("s", Op.GT, "mid", False),
        ("s", Op.GE, "mid", True),
        ("s", Op.GE, "mie", False),
        ("n", Op.EQ, 5, True),
        ("n", Op.LT, 6, True),
        ("n", Op.LT, 5, False),
        ("n", Op.GT, 4, True),
        ("n", Op.GT, 10, False),
        ("t", Op.EQ, Timestamp(100, 7), True),
        ("t", Op.GT, Timestamp(100, 6), True),
        ("t", Op.LT, Timestamp(99, 999_999_999), False),
        ("sa", Op.EQ, "y", True),
        ("sa", Op.EQ, "z", False),
        ("sa", Op.NE, "y", False),
        ("sa", Op.NE, "z", True),
        ("ia", Op.EQ, 2, True),
        ("ia", Op.NE, 3, True),
        ("s", Op.IN, StrArray(("a", "mid")), True),
        ("s", Op.IN, StrArray(("a",)), False),
        ("s", Op.IN, StrArray(), False),
        ("s", Op.NOT_IN, StrArray(("a",)), True),
        ("s", Op.NOT_IN, StrArray(("mid",)), False),
        ("n", Op.IN, IntArray((5, 6)), True),
        ("n", Op.NOT_IN, IntArray((5, 6)), False),
        ("n", Op.NOT_IN, IntArray((6,)), True),
        ("sa", Op.HAVING, "x", True),
        ("sa", Op.HAVING, StrArray(("y", "x")), True),
        ("sa", Op.HAVING, StrArray(("x", "z")), False),
        ("sa", Op.HAVING, StrArray(), True),
        ("sa", Op.NOT_HAVING, StrArray(("x", "z")), True),
        ("sa", Op.NOT_HAVING, "x", False),
        ("ia", Op.HAVING, 1, True),
        ("ia", Op.HAVING, IntArray((1, 3)), False),
        ("ia", Op.NOT_HAVING, 3, True),
    ],
)
def test_an_operator_on_a_value_of_its_type(name: str, op: Op, value: TagValue, expected: bool) -> None:
    assert holds(name, op, value) is expected


@pytest.mark.parametrize("op", list(Op))
def test_a_record_without_the_tag_matches_only_the_negated_operators(op: Op) -> None:
    value: TagValue = StrArray(("x",)) if op in (Op.IN, Op.NOT_IN) else "x"
    assert holds("absent", op, value) is (op in NEGATED)


@pytest.mark.parametrize(
    ("name", "op", "value"),
    [
        ("s", Op.EQ, 5),
        ("s", Op.NE, 5),
        ("n", Op.NE, "5"),
        ("n", Op.LT, "9"),
        ("t", Op.GE, 0),
        ("n", Op.NE, Timestamp(5, 0)),
        ("sa", Op.NE, 5),
        ("sa", Op.EQ, 5),
        ("ia", Op.EQ, "1"),
        ("sa", Op.LT, "z"),
        ("s", Op.NOT_IN, IntArray((1,))),
        ("sa", Op.NOT_IN, StrArray(("z",))),
        ("sa", Op.IN, StrArray(("x",))),
        ("sa", Op.HAVING, IntArray()),
        ("s", Op.HAVING, "mid"),
        ("b", Op.NE, "x"),
        ("n", Op.MATCH, "5"),
        ("sa", Op.MATCH, "x"),
    ],
)
def test_a_value_of_another_type_is_no_match(name: str, op: Op, value: TagValue) -> None:
    assert not holds(name, op, value)


@pytest.mark.parametrize("name", ["s", "n", "t", "b", "ia", "null", "none"])
@pytest.mark.parametrize("value", ["mid", StrArray(("x",))])
def test_what_does_not_have_it_matches_not_having(name: str, value: TagValue) -> None:
    """A text has no elements, and an array of numbers has no text."""
    assert not holds(name, Op.HAVING, value)
    assert holds(name, Op.NOT_HAVING, value)


@pytest.mark.parametrize("name", ["null", "none"])
@pytest.mark.parametrize("op", list(Op))
def test_null_counts_as_absent(name: str, op: Op) -> None:
    value: TagValue = StrArray(("x",)) if op in (Op.IN, Op.NOT_IN) else "x"
    assert holds(name, op, value) is holds("absent", op, value) is (op in NEGATED)


@pytest.mark.parametrize(
    ("text", "wanted", "analyzer", "operator", "expected"),
    [
        ("Hello World", "Hello World", "keyword", LogicalOp.OR, True),
        ("Hello World", "Hello", "keyword", LogicalOp.OR, False),
        ("Hello World", "Hello World", "keyword", LogicalOp.AND, True),
        ("Hello World", "hello there", "simple", LogicalOp.OR, True),
        ("Hello World", "hello there", "simple", LogicalOp.AND, False),
        ("Hello World", "world HELLO", "simple", LogicalOp.AND, True),
        ("room12", "ROOM7", "simple", LogicalOp.OR, True),
        ("room12", "ROOM7", "standard", LogicalOp.OR, False),
        ("Ünï cödé", "CÖDÉ", "standard", LogicalOp.OR, True),
        ("https://example.org/a1?b=2", "example a1", "url", LogicalOp.AND, True),
        ("https://example.org/a1", "Example", "url", LogicalOp.OR, False),
        ("x", "...", "simple", LogicalOp.AND, False),
        ("...", "...", "simple", LogicalOp.OR, False),
    ],
)
def test_match_splits_by_its_analyzer(
    text: str, wanted: str, analyzer: str, operator: LogicalOp, expected: bool
) -> None:
    condition = Condition("tag", Op.MATCH, wanted, MatchOption(analyzer, operator))
    assert matches(check_criteria(condition), {"tag": text}) is expected


TRUE = Condition("n", Op.EQ, 5)
FALSE = Condition("n", Op.EQ, 6)


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        (LogicalOp.AND, TRUE, TRUE, True),
        (LogicalOp.AND, TRUE, FALSE, False),
        (LogicalOp.AND, FALSE, TRUE, False),
        (LogicalOp.OR, TRUE, FALSE, True),
        (LogicalOp.OR, FALSE, TRUE, True),
        (LogicalOp.OR, FALSE, FALSE, False),
        (LogicalOp.AND, None, TRUE, True),
        (LogicalOp.AND, FALSE, None, False),
        (LogicalOp.OR, None, FALSE, False),
    ],
)
def test_logical_expressions(
    op: LogicalOp, left: Criteria | None, right: Criteria | None, expected: bool
) -> None:
    expression = LogicalExpression(op, left, right)
    assert matches(expression, TAGS) is expected
    assert matches(check_criteria(expression), TAGS) is expected


def test_a_one_sided_expression_is_its_side() -> None:
    assert check_criteria(LogicalExpression(LogicalOp.AND, None, FALSE)) is FALSE
    nested = LogicalExpression(LogicalOp.OR, LogicalExpression(LogicalOp.AND, TRUE, None), None)
    assert check_criteria(nested) is TRUE


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        (LogicalExpression(LogicalOp.AND, None, None), "AND has neither"),
        (
            LogicalExpression(LogicalOp.OR, TRUE, LogicalExpression(LogicalOp.OR, None, None)),
            "OR has neither",
        ),
        (Condition("", Op.EQ, "x"), "names no tag"),
        (Condition("a", Op.EQ, None), "EQ on tag 'a' takes a text, a number or a timestamp, not null"),
        (Condition("a", Op.LT, b"x"), "not binary data"),
        (Condition("a", Op.GE, StrArray()), "not an array of texts"),
        (Condition("a", Op.NE, NO_VALUE), "not no value"),
        (Condition("a", Op.IN, "x"), "IN on tag 'a' takes an array of texts or of numbers, not a text"),
        (Condition("a", Op.NOT_IN, 1), "not a number"),
        (Condition("a", Op.HAVING, Timestamp(1, 0)), "not a timestamp"),
        (Condition("a", Op.NOT_HAVING, None), "NOT_HAVING on tag 'a'"),
        (Condition("a", Op.MATCH, IntArray()), "MATCH on tag 'a' takes a text, not an array of numbers"),
        (
            Condition("a", Op.MATCH, "x", MatchOption("german")),
            "unknown analyzer 'german': known are keyword",
        ),
    ],
)
def test_criteria_without_a_meaning_are_refused(criteria: Criteria, words: str) -> None:
    with pytest.raises(InvalidCriteriaError) as raised:
        check_criteria(criteria)
    assert words in str(raised.value)


def nested(depth: int) -> Criteria:
    criteria: Criteria = TRUE
    for _ in range(depth - 1):
        criteria = LogicalExpression(LogicalOp.AND, criteria, TRUE)
    return criteria


def test_the_number_of_values_is_bounded() -> None:
    most = StrArray(map(str, range(CRITERIA_VALUES_MAX)))
    for op in (Op.IN, Op.NOT_IN, Op.HAVING, Op.NOT_HAVING):
        condition = Condition("a", op, most)
        assert check_criteria(condition) is condition
        problem = f"{op.name} on tag 'a' takes 4,096 values at most, not 4,097"
        with pytest.raises(InvalidCriteriaError, match=problem):
            check_criteria(Condition("a", op, IntArray(range(CRITERIA_VALUES_MAX + 1))))
    with pytest.raises(InvalidCriteriaError, match="4,097 values in all, over 4,096"):
        check_criteria(LogicalExpression(LogicalOp.OR, Condition("a", Op.IN, most), TRUE))


def test_the_number_of_conditions_is_bounded() -> None:
    def balanced(count: int) -> Criteria:
        if count == 1:
            return TRUE
        return LogicalExpression(LogicalOp.OR, balanced(count // 2), balanced(count - count // 2))

    assert matches(check_criteria(balanced(CRITERIA_CONDITIONS_MAX)), TAGS)
    with pytest.raises(InvalidCriteriaError, match="1,025 conditions in all, over 1,024"):
        check_criteria(balanced(CRITERIA_CONDITIONS_MAX + 1))


def test_many_values_are_looked_up_in_one_step() -> None:
    class Compared(str):
        """A text that counts how often it is compared."""

        __slots__ = ()
        times = 0

        def __eq__(self, other: object) -> bool:
            Compared.times += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    condition = Condition("a", Op.IN, StrArray(map(str, range(CRITERIA_VALUES_MAX))))
    assert matches(condition, {"a": Compared("4095")})
    assert not matches(condition, {"a": Compared("x")})
    assert Compared.times <= 2


def test_nesting_is_bounded() -> None:
    assert matches(check_criteria(nested(CRITERIA_DEPTH_MAX)), TAGS)
    with pytest.raises(InvalidCriteriaError, match="64 deep"):
        check_criteria(nested(CRITERIA_DEPTH_MAX + 1))


def test_the_operators_have_the_numbers_of_the_wire() -> None:
    names = ["EQ", "NE", "LT", "GT", "LE", "GE", "HAVING", "NOT_HAVING", "IN", "NOT_IN", "MATCH"]
    assert [(op.name, op.value) for op in Op] == [(name, n) for n, name in enumerate(names, 1)]
    assert (LogicalOp.AND.value, LogicalOp.OR.value) == (1, 2)


scalars: st.SearchStrategy[TagValue] = st.one_of(
    st.text(max_size=3), st.integers(-3, 3), st.builds(Timestamp, st.integers(0, 2), st.integers(0, 2))
)
values: st.SearchStrategy[TagValue] = st.one_of(
    scalars,
    st.none(),
    st.just(NO_VALUE),
    st.binary(max_size=2),
    st.lists(st.text(max_size=2), max_size=3).map(StrArray),
    st.lists(st.integers(-2, 2), max_size=3).map(IntArray),
)


@given(scalars, values)
def test_a_comparison_and_its_opposite_never_both_hold(value: TagValue, tag: TagValue) -> None:
    tags = {"tag": tag}

    def held(op: Op) -> bool:
        return matches(Condition("tag", op, value), tags)

    assert not (held(Op.EQ) and held(Op.NE))
    assert not (held(Op.LT) and held(Op.GE))
    assert held(Op.LE) == (held(Op.LT) or (held(Op.EQ) and type(tag) is type(value)))
    assert (held(Op.LE) or held(Op.GE)) == (type(tag) is type(value))


@given(st.dictionaries(st.integers(0, 99), values, max_size=12), st.booleans())
def test_the_order_is_total_and_missing_is_last(found: dict[int, TagValue], descending: bool) -> None:
    def key(number: int) -> tuple[object, ...]:
        return sort_key(
            {"tag": found[number]}, "tag", Entity("g", "n", f"{number:02}"), descending=descending
        )

    ordered = sorted(found, key=key)
    backwards = ordered[::-1]
    assert sorted(backwards, key=key) == ordered
    empty = [found[number] is None or found[number] is NO_VALUE for number in ordered]
    assert empty == sorted(empty)


@pytest.mark.parametrize("descending", [False, True])
def test_keys_compare_in_every_way(descending: bool) -> None:
    def key(value: int, id_: str) -> tuple[object, ...]:
        return sort_key({"tag": value}, "tag", Entity("g", "n", id_), descending=descending)

    low, high = (key(2, "a"), key(1, "a")) if descending else (key(1, "a"), key(2, "a"))
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert low != high
    assert key(1, "a") == key(1, "a")
    assert key(1, "a") < key(1, "b")
    assert key(1, "b") > key(1, "a")
    assert len({low, high, key(1, "a")}) == 2


def test_the_order_of_kinds_and_of_ties() -> None:
    rows: dict[str, dict[str, TagValue]] = {
        "1": {"tag": "b"},
        "2": {"tag": 10},
        "3": {"tag": 9},
        "4": {},
        "5": {"tag": "b"},
        "6": {"tag": Timestamp(1, 0)},
        "7": {"tag": "a"},
        "8": {"tag": None},
    }

    def ids(descending: bool) -> str:
        return "".join(
            sorted(
                rows, key=lambda row: sort_key(rows[row], "tag", Entity("g", "n", row), descending=descending)
            )
        )

    assert ids(False) == "32715648"
    assert ids(True) == "61572348"
