"""How the index of a tag could find the records of a search.

This module knows which keys an index would hold for given tags. It knows neither which indexes there are nor
what is in them; the node chooses among the lookups that it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from gossipnode.core.model.tag_value import INT64_MAX, INT64_MIN, IntArray, StrArray, TagValue, Timestamp
from gossipnode.core.query.criteria import Condition, Criteria, LogicalOp, Op
from gossipnode.core.query.index_key import IndexKind, order_key
from gossipnode.core.query.search import Search

LABEL_VALUE_MAX_CHARACTERS = 40
LABEL_VALUES_MAX = 3
LABEL_MAX_CHARACTERS = 200
"""How much a label shows of the conditions that are looked up."""


class KeySpan(NamedTuple):
    """The rows of an index that are of one kind and have `low` <= key <= `high`."""

    kind: IndexKind
    low: bytes
    high: bytes


KEYS_END = b"\xff"
"""Sorts after every key of an index, because the first byte of a key marks a type and is far below 0xff."""


class LookupKind(IntEnum):
    """How a condition is looked up. Where a search has lookups of several kinds, the lowest is preferred."""

    EQUAL = 0
    """Rows with one key."""
    ONE_OF = 1
    """Rows with one of some keys."""
    RANGE = 2


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to look for in the index of a tag.

    Every record that matches the search has a row in at least one of the spans. The opposite does not hold:
    long keys are cut, so a record with such a row may not match. Each record that is found must be checked.
    """

    kind: LookupKind
    tag: str
    spans: tuple[KeySpan, ...]
    label: str
    """The condition in words for people, such as `status = "ok"`."""


def lookups(search: Search) -> list[Lookup]:
    """The ways in which indexes could find the records of a search, the preferred ones first.

    Each of them alone finds every record. The list is empty for a search that wants tombstones, which no
    index holds, and for one that names its records, which are read by their keys.
    """
    if search.tombstones or search.by_key:
        return []
    conjuncts = list(_conjuncts(search.criteria))
    found = [*filter(None, map(_equality, conjuncts)), *_ranges(conjuncts)]
    return sorted(found, key=lambda lookup: lookup.kind)


def wanted_indexes(search: Search) -> set[str]:
    """The tags of which an index would help this search."""
    wanted = {lookup.tag for lookup in lookups(search)}
    if search.order_by and not search.tombstones and not search.by_key:
        wanted.add(search.order_by)
    return wanted


def _conjuncts(criteria: Criteria | None) -> Iterator[Criteria]:
    """The parts of the criteria that a record must all satisfy."""
    if criteria is None:
        return
    if isinstance(criteria, Condition):
        yield criteria
    elif criteria.op is LogicalOp.AND or criteria.left is None or criteria.right is None:
        yield from _conjuncts(criteria.left)
        yield from _conjuncts(criteria.right)
    else:
        yield criteria


def _equality(criteria: Criteria | None) -> Lookup | None:
    """The lookup by whole keys that finds every record for which the criteria hold, or None."""
    if criteria is None:
        return None
    if isinstance(criteria, Condition):
        return _of_condition(criteria)
    left, right = _equality(criteria.left), _equality(criteria.right)
    if criteria.op is LogicalOp.AND or left is None or right is None or left.tag != right.tag:
        return None
    spans = tuple(dict.fromkeys((*left.spans, *right.spans)))
    return Lookup(LookupKind.ONE_OF, left.tag, spans, _cut(f"{left.label} or {right.label}"))


def _of_condition(condition: Condition) -> Lookup | None:
    tag, op, value = condition.name, condition.op, condition.value
    if op is Op.EQ or (op is Op.MATCH and condition.match_option.analyzer == "keyword"):
        spans = [_point(IndexKind.WHOLE, value)]
        if op is Op.EQ and isinstance(value, str | int):
            # The criterion also holds for an array with an element that is equal to the value.
            spans.append(_point(IndexKind.ELEMENT, value))
        return Lookup(LookupKind.EQUAL, tag, tuple(spans), f"{tag} = {_shown(value)}")
    if op is Op.IN and isinstance(value, StrArray | IntArray):
        keys = dict.fromkeys(_point(IndexKind.WHOLE, one) for one in value)
        return Lookup(LookupKind.ONE_OF, tag, tuple(keys), f"{tag} in ({_listed(value)})")
    if op is Op.HAVING:
        elements = value if isinstance(value, StrArray | IntArray) else (value,)
        if not elements:
            # Every array holds all elements of an empty list, even the empty array, which has no element row.
            return None
        point = _point(IndexKind.ELEMENT, elements[0])
        return Lookup(LookupKind.EQUAL, tag, (point,), f"{tag} having {_shown(elements[0])}")
    return None


def _point(kind: IndexKind, value: TagValue) -> KeySpan:
    key = order_key(value)
    return KeySpan(kind, key, key)


class _Bounds(NamedTuple):
    """The range of keys that the range conditions on one tag, with values of one type, leave together."""

    low: bytes
    high: bytes
    labels: tuple[str, ...]


_SIGNS = {Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
_TIMESTAMP_FIRST = order_key(Timestamp(INT64_MIN, -(1 << 31)))
# The keys of a type lie between these two. For text and times the second is the first key of the next type.
_TYPE_SPANS: dict[type, tuple[bytes, bytes]] = {
    int: (order_key(INT64_MIN), order_key(INT64_MAX)),
    str: (order_key(""), _TIMESTAMP_FIRST),
    Timestamp: (_TIMESTAMP_FIRST, order_key(b"")),
}


def _ranges(conjuncts: Iterable[Criteria]) -> list[Lookup]:
    """One lookup for all range conditions on a tag."""
    ranges: dict[tuple[str, type], _Bounds] = {}
    for condition in conjuncts:
        if not isinstance(condition, Condition) or condition.op not in _SIGNS:
            continue
        tag, op, value = condition.name, condition.op, condition.value
        low, high, labels = ranges.get((tag, type(value)), (*_TYPE_SPANS[type(value)], ()))
        # The bound itself stays in the range, also for < and >, since a cut key stands for several values.
        if op in (Op.GT, Op.GE):
            low = max(low, order_key(value))
        else:
            high = min(high, order_key(value))
        ranges[tag, type(value)] = _Bounds(low, high, (*labels, f"{tag} {_SIGNS[op]} {_shown(value)}"))
    return [
        Lookup(LookupKind.RANGE, tag, (KeySpan(IndexKind.WHOLE, low, high),), _cut(" and ".join(labels)))
        for (tag, _), (low, high, labels) in ranges.items()
    ]


def _listed(values: Sequence[TagValue]) -> str:
    more = ", ..." if len(values) > LABEL_VALUES_MAX else ""
    return ", ".join(map(_shown, values[:LABEL_VALUES_MAX])) + more


def _shown(value: TagValue) -> str:
    if isinstance(value, Timestamp):
        return f"{value.seconds}.{value.nanos:09}s"
    if isinstance(value, str):
        return json.dumps(_cut(value, LABEL_VALUE_MAX_CHARACTERS), ensure_ascii=False)
    return str(value)


def _cut(text: str, most: int = LABEL_MAX_CHARACTERS) -> str:
    return text if len(text) <= most else text[:most] + "..."
