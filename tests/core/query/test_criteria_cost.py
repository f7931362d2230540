"""What it costs to compare a record with many conditions: each long value is taken apart once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gossipnode.core.model.tag_value import StrArray
from gossipnode.core.query import criteria as query_criteria
from gossipnode.core.query.criteria import (
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    MatchOption,
    Op,
    check_criteria,
    count_conditions,
    matches,
)

CONDITIONS = 256


def any_of(conditions: list[Criteria]) -> Criteria:
    """A balanced tree of ORs."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return LogicalExpression(LogicalOp.OR, any_of(conditions[:middle]), any_of(conditions[middle:]))


class CountedSplit:
    """A pattern that counts the characters that it has looked at."""

    def __init__(self) -> None:
        self.characters = 0

    def findall(self, text: str) -> list[str]:
        self.characters += len(text)
        return text.split()


@pytest.mark.parametrize("analyzer", ["simple", "standard", "url"])
def test_a_long_text_is_split_once_for_all_conditions(analyzer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    split = CountedSplit()
    monkeypatch.setitem(query_criteria._PARTS, analyzer, split)
    option = MatchOption(analyzer)
    wanted = [f"wanted{number}" for number in range(CONDITIONS)]
    asked = check_criteria(any_of([Condition("t", Op.MATCH, each, option) for each in wanted]))
    assert split.characters == sum(len(each) for each in wanted)
    split.characters = 0
    for text in ("a " * 10_000, f"{'b ' * 10_000} {wanted[-1]}"):
        found = matches(asked, {"t": text})
        assert found == (wanted[-1] in text)
        assert split.characters <= len(text)
        split.characters = 0


class CountedArray(StrArray):
    """An array that counts the elements that were looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[str]:
        for element in super().__iter__():
            CountedArray.looked_at += 1
            yield element

    def __contains__(self, wanted: object) -> bool:
        return any(each == wanted for each in self)


@pytest.mark.parametrize("op", [Op.HAVING, Op.EQ, Op.NE, Op.NOT_HAVING])
def test_a_long_array_is_gone_through_once_for_all_conditions(op: Op) -> None:
    array = CountedArray(tuple(f"e{number}" for number in range(10_000)))
    negated = op in (Op.NE, Op.NOT_HAVING)
    # None of the conditions holds, so that all of them are looked at.
    wanted = ["e9999"] * CONDITIONS if negated else [f"w{number}" for number in range(CONDITIONS)]
    asked = check_criteria(any_of([Condition("t", op, each) for each in wanted]))
    CountedArray.looked_at = 0
    assert not matches(asked, {"t": array})
    assert CountedArray.looked_at <= len(array)


def test_conditions_are_counted() -> None:
    one = Condition("t", Op.EQ, 1)
    assert count_conditions(None) == 0
    assert count_conditions(one) == 1
    assert count_conditions(LogicalExpression(LogicalOp.AND, any_of([one] * 7), None)) == 7
