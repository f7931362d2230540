from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue, Timestamp
from gossipnode.core.query.criteria import (
    Condition,
    Criteria,
    InvalidCriteriaError,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    matches,
)
from gossipnode.core.query.expression import NESTING_MAX, parse_expression


def joined(op: LogicalOp, left: Criteria, right: Criteria) -> LogicalExpression:
    return LogicalExpression(op, left, right)


A, B, C = Condition("a", Op.EQ, 1), Condition("b", Op.EQ, 2), Condition("c", Op.EQ, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('status = "ok"', Condition("status", Op.EQ, "ok")),
        ("s='it\\'s \"x\"'", Condition("s", Op.EQ, 'it\'s "x"')),
        ("n>5", Condition("n", Op.GT, 5)),
        ("n >= -5", Condition("n", Op.GE, -5)),
        ("n<+5", Condition("n", Op.LT, 5)),
        ("n <= 9223372036854775807", Condition("n", Op.LE, 9223372036854775807)),
        ("n != -9223372036854775808", Condition("n", Op.NE, -9223372036854775808)),
        ('http.status-code != ""', Condition("http.status-code", Op.NE, "")),
        ('"a tag" = "AND"', Condition("a tag", Op.EQ, "AND")),
        (r's = "\n\t\r\\\u00e9\U0001F600"', Condition("s", Op.EQ, "\n\t\r\\é😀")),
        ('when < t"1970-01-01T00:00:01.5Z"', Condition("when", Op.LT, Timestamp(1, 500_000_000))),
        ("when < timestamp'1970-01-01T00:00:01Z'", Condition("when", Op.LT, Timestamp(1, 0))),
        ('t = "x"', Condition("t", Op.EQ, "x")),
        ('a IN ("x", "y")', Condition("a", Op.IN, StrArray(("x", "y")))),
        ("a not in [1,2]", Condition("a", Op.NOT_IN, IntArray((1, 2)))),
        ('tags HAVING "x"', Condition("tags", Op.HAVING, "x")),
        ("tags NOT HAVING (1)", Condition("tags", Op.NOT_HAVING, IntArray((1,)))),
        ('a MATCH "x y"', Condition("a", Op.MATCH, "x y")),
        (
            'a match "x y" using Standard all',
            Condition("a", Op.MATCH, "x y", MatchOption("standard", LogicalOp.AND)),
        ),
        ('a MATCH "x" ANY', Condition("a", Op.MATCH, "x", MatchOption("keyword", LogicalOp.OR))),
        ("a=1 AND b=2", joined(LogicalOp.AND, A, B)),
        ("a=1 AND b=2 OR c=3", joined(LogicalOp.OR, joined(LogicalOp.AND, A, B), C)),
        ("a=1 OR b=2 AND c=3", joined(LogicalOp.OR, A, joined(LogicalOp.AND, B, C))),
        ("a=1 and (b=2 or c=3)", joined(LogicalOp.AND, A, joined(LogicalOp.OR, B, C))),
        ("((a = 1))", A),
    ],
)
def test_what_an_expression_means(text: str, expected: Criteria) -> None:
    assert parse_expression(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", """column 1: expected a tag name or "(", found the end"""),
        ("a", "column 2: expected an operator (= != < <= > >= IN, NOT IN, HAVING, NOT HAVING, MATCH)"),
        ("a =", "column 4: expected a value"),
        ("a = b", """column 5: expected a value ("text", a whole number or t"2026-01-02T03:04:05Z")"""),
        ('a = "x', 'column 5: the text that opens here has no closing "'),
        (r'a = "\q"', "column 6: no such escape"),
        (r'a = "\ud800"', "column 6: no such escape"),
        (r'a = "\u12"', "column 6: no such escape"),
        ("a = 1 b = 2", "column 7: expected AND, OR or the end, found 'b'"),
        ("a = 1 AND", 'column 10: expected a tag name or "("'),
        ("AND = 1", "column 1: expected a tag name"),
        ("(a = 1", 'column 7: expected AND, OR or ")", found the end'),
        ("a = 1)", "column 6: expected AND, OR or the end, found ')'"),
        ("NOT a = 1", "column 1: expected a tag name"),
        ("a NOT = 1", "column 7: expected IN or HAVING behind NOT, found '='"),
        ("a IN 5", """column 6: expected a list, as in ("a", "b") or (1, 2), found '5'"""),
        ("a IN ()", "column 7: expected a text or a whole number in the list, found ')'"),
        ('a IN ("x", 1)', "column 12: expected a text in the list, found '1'"),
        ('a IN (1, "x")', "column 10: expected a whole number in the list, found 'x'"),
        ("a IN (1 2)", """column 9: expected "," or ")", found '2'"""),
        ("a IN (1, 2]", """column 11: expected "," or ")", found ']'"""),
        ("a MATCH 5", "column 9: expected a text in quotes"),
        ('a MATCH "x" USING german', "column 19: expected an analyzer (keyword, simple, standard, url)"),
        ("a = 9223372036854775808", "column 5: 9223372036854775808 is out of range"),
        ("a = " + "9" * 5000, "is out of range"),
        ('a = t"yesterday"', "column 5: 'yesterday' is no timestamp"),
        ("a ! 5", "column 3: did not expect '!'"),
        ("a = 1.5", "column 5: expected a value"),
        ('"" = 1', "column 1: expected a tag name"),
        ("(" * 40 + "a=1", f"column {NESTING_MAX}: more than {NESTING_MAX} parentheses within each other"),
        ("a" * 70_000, "longer than 65536 characters"),
    ],
)  # fmt: skip
def test_errors_name_the_column_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(InvalidCriteriaError) as raised:
        parse_expression(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_long_chain_is_no_deep_nesting() -> None:
    expression = " OR ".join(f"n = {n}" for n in range(1000))
    criteria = parse_expression(expression)
    assert matches(criteria, {"n": 999})
    assert not matches(criteria, {"n": 1000})


def shown(value: TagValue) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return "(" + ", ".join(shown(item) for item in value) + ")"
    return str(value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ints = st.integers(-(1 << 63), (1 << 63) - 1)
conditions = st.one_of(
    st.builds(Condition, texts.filter(bool), st.sampled_from([Op.EQ, Op.NE, Op.LT]), st.one_of(texts, ints)),
    st.builds(
        Condition,
        texts.filter(bool),
        st.sampled_from([Op.IN, Op.NOT_IN, Op.HAVING]),
        st.one_of(
            st.lists(texts, min_size=1, max_size=3).map(StrArray),
            st.lists(ints, min_size=1, max_size=3).map(IntArray),
        ),
    ),
)
SIGNS = {Op.EQ: "=", Op.NE: "!=", Op.LT: "<", Op.IN: "IN", Op.NOT_IN: "NOT IN", Op.HAVING: "HAVING"}


@pytest.mark.slow
@given(conditions, conditions, st.sampled_from(LogicalOp))
def test_what_is_written_is_read(left: Condition, right: Condition, op: LogicalOp) -> None:
    sides = [f"{shown(side.name)} {SIGNS[side.op]} {shown(side.value)}" for side in (left, right)]
    assert parse_expression(f"({sides[0]}) {op.name} {sides[1]}") == LogicalExpression(op, left, right)


@given(st.text(st.sampled_from("ab =!<>()[],\"'\\15tNOTINANDORu\n"), max_size=20))
def test_nothing_but_its_own_error(text: str) -> None:
    try:
        parse_expression(text)
    except InvalidCriteriaError:
        return


def test_a_text_that_is_not_utf_8() -> None:
    with pytest.raises(InvalidCriteriaError, match=r"'.*' is no valid Unicode text"):
        parse_expression('a = "\udcff"')


@pytest.mark.parametrize("values", ["1", '"x"'])
def test_many_values_are_refused_by_their_number(values: str) -> None:
    parse_expression(f"a IN ({','.join([values] * 4096)})")
    with pytest.raises(InvalidCriteriaError, match=r"IN on tag 'a' takes 4,096 values at most, not 4,097"):
        parse_expression(f"a IN ({','.join([values] * 4097)})")
