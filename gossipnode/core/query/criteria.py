"""What a query means: conditions on tags, which records satisfy them, and how records are ordered.

The data model fixes all of this. `matches` answers for one record, `check_criteria` refuses criteria without
a meaning, and `sort_key` gives the order. Nothing here knows how criteria came in or where records are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import total_ordering
from typing import Any, TypeAlias

from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import IntArray, NoValue, StrArray, TagValue, Timestamp

CRITERIA_DEPTH_MAX = 64
"""How deep logical expressions may be nested. A long chain of ORs can be built as a balanced tree instead."""

CRITERIA_VALUES_MAX = 4096
"""How many values criteria may hold in all: each condition counts one, or as many as its array has elements.

A node compares them with record after record, so without a bound one query could occupy it for seconds.
"""

CRITERIA_CONDITIONS_MAX = 1024
"""How many conditions criteria may hold in all. Each is an object to be made and a step for every record."""

ANALYZERS = ("keyword", "simple", "standard", "url")


class InvalidCriteriaError(CoreError):
    """Criteria that mean nothing. The message names the tag, the operator and what the operator takes."""


class Op(Enum):
    """The operators of a condition. The values are the numbers of the wire's BinaryOp."""

    EQ = 1
    NE = 2
    LT = 3
    GT = 4
    LE = 5
    GE = 6
    HAVING = 7
    NOT_HAVING = 8
    IN = 9
    NOT_IN = 10
    MATCH = 11


class LogicalOp(Enum):
    """AND and OR. The values are the numbers of the wire's LogicalOp and of MatchOption.Operator."""

    AND = 1
    OR = 2


@dataclass(frozen=True, slots=True)
class MatchOption:
    """How MATCH splits texts, and whether any part (OR) or every part (AND) must be found."""

    analyzer: str = "keyword"
    operator: LogicalOp = LogicalOp.OR


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on the tag `name`."""

    name: str
    op: Op
    value: TagValue
    match_option: MatchOption = field(default_factory=MatchOption)
    elements: frozenset[str | int] = field(init=False, repr=False, compare=False)
    """What is looked up in one step: the elements that IN or HAVING names, or the parts that MATCH looks for.

    It is made once, however many records are compared.
    """

    def __post_init__(self) -> None:
        value, known = self.value, self.match_option.analyzer in ANALYZERS
        elements = frozenset[str | int]()
        if isinstance(value, StrArray | IntArray):
            elements = frozenset(value)
        elif self.op in (Op.HAVING, Op.NOT_HAVING) and isinstance(value, str | int):
            elements = frozenset((value,))
        elif self.op is Op.MATCH and isinstance(value, str) and known:
            elements = _split(self.match_option.analyzer, value)
        object.__setattr__(self, "elements", elements)


@dataclass(frozen=True, slots=True)
class LogicalExpression:
    """Two criteria joined. An expression with one side missing means the side that is there."""

    op: LogicalOp
    left: Criteria | None
    right: Criteria | None


Criteria: TypeAlias = Condition | LogicalExpression

_Sets: TypeAlias = dict[tuple[str, str], frozenset[str | int]]
"""The parts of a record's tags, by the name of the tag and the analyzer; "" for the elements of an array.

Many conditions may ask for the parts of one long value, which are made once.
"""

_ABSENT: Any = object()
_NEGATED = {Op.NE: Op.EQ, Op.NOT_IN: Op.IN, Op.NOT_HAVING: Op.HAVING}
_COMPARED = (Op.EQ, Op.NE, Op.LT, Op.GT, Op.LE, Op.GE)
_PARTS = {
    # `[^\W\d_]` matches a letter in any script, `[^\W_]` a letter or a digit.
    "simple": re.compile(r"[^\W\d_]+"),
    "standard": re.compile(r"\w+"),
    "url": re.compile(r"[^\W_]+"),
}


def check_criteria(criteria: Criteria) -> Criteria:
    """Refuse criteria that mean nothing; return them with each one-sided expression replaced by its side.

    Raises:
        InvalidCriteriaError: names the tag and operator, and what the operator takes.
    """
    checked = _checked(criteria, 1)
    conditions, values = _count(checked)
    if conditions > CRITERIA_CONDITIONS_MAX:
        raise InvalidCriteriaError(
            f"criteria hold {conditions:,} conditions in all, over {CRITERIA_CONDITIONS_MAX:,}: "
            f"use IN, or ask in several queries"
        )
    if values > CRITERIA_VALUES_MAX:
        raise InvalidCriteriaError(
            f"criteria hold {values:,} values in all, over {CRITERIA_VALUES_MAX:,}: ask in several queries"
        )
    return checked


def _count(criteria: Criteria) -> tuple[int, int]:
    """How many conditions and how many values criteria hold."""
    if isinstance(criteria, Condition):
        return 1, len(criteria.value) if isinstance(criteria.value, StrArray | IntArray) else 1
    counts = [_count(side) for side in (criteria.left, criteria.right) if side is not None]
    return sum(conditions for conditions, _ in counts), sum(values for _, values in counts)


def count_conditions(criteria: Criteria | None) -> int:
    """How many conditions criteria have: each of them takes time for each record."""
    if criteria is None or isinstance(criteria, Condition):
        return int(criteria is not None)
    return count_conditions(criteria.left) + count_conditions(criteria.right)


def _checked(criteria: Criteria, depth: int) -> Criteria:
    if depth > CRITERIA_DEPTH_MAX:
        raise InvalidCriteriaError(f"criteria are nested more than {CRITERIA_DEPTH_MAX} deep")
    if isinstance(criteria, Condition):
        _check_condition(criteria)
        return criteria
    left = None if criteria.left is None else _checked(criteria.left, depth + 1)
    right = None if criteria.right is None else _checked(criteria.right, depth + 1)
    if left is None or right is None:
        side = left or right
        if side is None:
            raise InvalidCriteriaError(f"{criteria.op.name} has neither a left nor a right side")
        return side
    return LogicalExpression(criteria.op, left, right)


def _check_condition(condition: Condition) -> None:
    name, op, value = condition.name, condition.op, condition.value
    if not name:
        raise InvalidCriteriaError(f"a condition with {op.name} names no tag")
    if op in _COMPARED:
        fits, takes = isinstance(value, str | int | Timestamp), "a text, a number or a timestamp"
    elif op in (Op.IN, Op.NOT_IN):
        fits, takes = isinstance(value, StrArray | IntArray), "an array of texts or of numbers"
    elif op is Op.MATCH:
        fits, takes = isinstance(value, str), "a text"
    else:
        fits = isinstance(value, str | int | StrArray | IntArray)
        takes = "a text, a number, or an array of either"
    if not fits:
        raise InvalidCriteriaError(f"{op.name} on tag {name!r} takes {takes}, not {_kind(value)}")
    if isinstance(value, StrArray | IntArray) and len(value) > CRITERIA_VALUES_MAX:
        raise InvalidCriteriaError(
            f"{op.name} on tag {name!r} takes {CRITERIA_VALUES_MAX:,} values at most, not {len(value):,}: "
            f"ask in several queries"
        )
    if op is Op.MATCH and condition.match_option.analyzer not in ANALYZERS:
        raise InvalidCriteriaError(
            f"MATCH on tag {name!r} has an unknown analyzer {condition.match_option.analyzer[:40]!r}: "
            f"known are {', '.join(ANALYZERS)}"
        )


def _kind(value: TagValue) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (str, "a text"),
        (StrArray, "an array of texts"),
        (IntArray, "an array of numbers"),
        (Timestamp, "a timestamp"),
        (int, "a number"),
        (bytes, "binary data"),
        (NoValue, "no value"),
    )
    return next((kind for of, kind in kinds if isinstance(value, of)), "null")


def matches(criteria: Criteria, tags: Mapping[str, TagValue]) -> bool:
    """Whether criteria that passed `check_criteria` hold for a record with these tags.

    NE, NOT_IN and NOT_HAVING hold for a record without the tag, or with null in it; the other operators do
    not. NOT_HAVING holds for all that HAVING does not hold for. No other operator holds for a tag whose value
    has another type than the condition's, not even a negated one: `n != 5` says nothing about a record whose
    n is text.
    """
    return _matches(criteria, tags, {})


def _matches(criteria: Criteria, tags: Mapping[str, TagValue], sets: _Sets) -> bool:
    if isinstance(criteria, Condition):
        return _holds(criteria, tags.get(criteria.name, _ABSENT), sets)
    sides = (side for side in (criteria.left, criteria.right) if side is not None)
    if criteria.op is LogicalOp.AND:
        return all(_matches(side, tags, sets) for side in sides)
    return any(_matches(side, tags, sets) for side in sides)


def _holds(condition: Condition, tag: TagValue, sets: _Sets) -> bool:
    positive = _NEGATED.get(condition.op)
    if tag is _ABSENT or tag is None or isinstance(tag, NoValue):
        return positive is not None
    held = _positive(positive or condition.op, condition, tag, sets)
    return held is (positive is None)


def _positive(op: Op, condition: Condition, tag: TagValue, sets: _Sets) -> bool | None:
    """Whether an operator holds, other than a negated one; None when the types do not fit each other."""
    value = condition.value
    if op is Op.IN:
        return tag in condition.elements if _is_element(tag, value) else None
    if op is Op.HAVING:
        wanted = _as_array(value)
        if not isinstance(tag, StrArray | IntArray) or not isinstance(tag, type(wanted)):
            return False
        return _elements(condition.name, tag, sets) >= condition.elements
    if op is Op.MATCH:
        if not isinstance(tag, str) or not isinstance(value, str):
            return None
        return _text_matches(condition, tag, sets)
    if op is Op.EQ and isinstance(tag, StrArray | IntArray):
        return value in _elements(condition.name, tag, sets) if _is_element(value, tag) else None
    return _compared(op, tag, value)


def _is_element(value: TagValue, array: TagValue) -> bool:
    """Whether a value has the type of an array's elements."""
    if isinstance(array, StrArray):
        return isinstance(value, str)
    return isinstance(array, IntArray) and isinstance(value, int)


def _as_array(value: TagValue) -> TagValue:
    if isinstance(value, str):
        return StrArray((value,))
    return IntArray((value,)) if isinstance(value, int) else value


def _compared(op: Op, tag: Any, value: Any) -> bool | None:
    if type(tag) is not type(value):
        return None
    # Text compares by code point, which is the order of its UTF-8 bytes.
    if op is Op.EQ:
        return bool(tag == value)
    if op in (Op.LT, Op.LE):
        return bool(tag < value if op is Op.LT else tag <= value)
    return bool(tag > value if op is Op.GT else tag >= value)


def _elements(name: str, tag: StrArray | IntArray, sets: _Sets) -> frozenset[str | int]:
    known = sets.get((name, ""))
    if known is None:
        known = sets[name, ""] = frozenset(tag)
    return known


def _text_matches(condition: Condition, text: str, sets: _Sets) -> bool:
    option, parts = condition.match_option, condition.elements
    found = sets.get((condition.name, option.analyzer))
    if found is None:
        found = sets[condition.name, option.analyzer] = _split(option.analyzer, text)
    if option.operator is LogicalOp.AND:
        # A wanted text without any part, such as "...", matches nothing.
        return bool(parts) and parts <= found
    return not parts.isdisjoint(found)


def _split(analyzer: str, text: str) -> frozenset[str]:
    if analyzer == "keyword":
        return frozenset((text,))
    # By the data model `simple` and `standard` ignore case, and `url` does not.
    return frozenset(_PARTS[analyzer].findall(text if analyzer == "url" else text.lower()))


@total_ordering
class _Descending:
    """Wraps a key and compares in the opposite order. Most keys hold text, which cannot be negated."""

    __slots__ = ("key",)

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key

    def __lt__(self, other: _Descending) -> bool:
        return other.key < self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


def sort_key(
    tags: Mapping[str, TagValue], tag: str, entity: Entity, *, descending: bool = False
) -> tuple[Any, ...]:
    """The key of a record in the order of one tag; compare only keys made with the same `descending`.

    Numbers stand before text, text before times, then come binary data and arrays. A record without the tag,
    or with null in it, is last in both directions. Records with equal values ascend by entity in both.
    """
    rank = _rank(tags.get(tag))
    if rank is None:
        return (1, (), entity)
    return (0, _Descending(rank) if descending else rank, entity)


def _rank(value: TagValue) -> tuple[Any, ...] | None:
    if value is None or isinstance(value, NoValue):
        return None
    order: tuple[type, ...] = (int, str, Timestamp, bytes, IntArray, StrArray)
    return (order.index(type(value)), value)
