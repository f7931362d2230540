"""What a replica is asked for, in which order, and what an index of a tag could do to find it.

Pure: it knows the keys that an index would hold, not which indexes there are nor what is in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.tag_value import (
    INT64_MAX,
    INT64_MIN,
    NO_VALUE,
    IntArray,
    StrArray,
    TagValue,
    Timestamp,
)
from gossipnode.core.query.criteria import Condition, Criteria, LogicalOp, Op, sort_key
from gossipnode.core.query.index_key import INDEX_KEY_MAX_BYTES, IndexKind, is_cut, order_key

QUERY_MAX_RECORDS = 1_000_000

LABEL_VALUE_MAX_CHARACTERS = 40
LABEL_VALUES_MAX = 3
LABEL_MAX_CHARACTERS = 200
"""What a label shows of the conditions that are looked up."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of a search.

    `value` is that of the order tag; NO_VALUE when the record lacks it, or the search has no order.
    """

    entity: Entity
    value: TagValue = NO_VALUE


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for among the records of some shards. Empty `name`, `ids` and `order_by` mean all.

    The criteria have passed `check_criteria`. An entity is in one of the shards at most.
    """

    shards: tuple[ShardId, ...]
    name: str = ""
    ids: frozenset[str] = frozenset()
    criteria: Criteria | None = None
    order_by: str = ""
    descending: bool = False
    after: Place | None = None
    """Only what is behind this place, in the order of the search."""
    tombstones: bool = False
    """Tombstones too, whatever the criteria."""
    expected: int = 0
    """About how many records will be wanted; 0: all of them. A hint that changes no answer."""

    @property
    def by_key(self) -> bool:
        """Whether the search names its records."""
        return bool(self.name and self.ids)

    def names(self, entity: Entity) -> bool:
        """Whether a record of this name and id is asked for, its tags aside."""
        return (not self.name or entity.name == self.name) and (not self.ids or entity.id in self.ids)

    def key(self, place: Place) -> tuple[Any, ...]:
        """What places of this search compare by: the order of `place_key`, quick also when descending."""
        if not (self.order_by and self.descending):
            return place_key(place, self.order_by, self.descending)
        key = order_key(place.value)
        if not key:
            return (1, place.entity)
        exact = place_key(place, self.order_by, self.descending) if is_cut(key) else ()
        return (0, *_turned(key), exact, place.entity)


def place_key(place: Place, order_by: str, descending: bool) -> tuple[Any, ...]:
    """What the places of an order compare by: `sort_key` of the record, or with no order the entity."""
    if not order_by:
        return (place.entity,)
    return sort_key({order_by: place.value}, order_by, place.entity, descending=descending)


def place_of(entity: Entity, tags: Mapping[str, TagValue], order_by: str) -> Place:
    """The place of a record with these tags."""
    value = tags.get(order_by) if order_by else None
    return Place(entity, NO_VALUE if value is None else value)


def tags_needed(search: Search) -> frozenset[str]:
    """The tags that decide whether a record is found, and where it stands."""
    ordered = (search.order_by,) if search.order_by else ()
    return frozenset((*_names(search.criteria), *ordered))


def _names(criteria: Criteria | None) -> Iterator[str]:
    if isinstance(criteria, Condition):
        yield criteria.name
    elif criteria is not None:
        yield from _names(criteria.left)
        yield from _names(criteria.right)


def walk_key(key: bytes, entity: Entity, descending: bool) -> tuple[Any, ...]:
    """What the rows of an index compare by in a walk: `descending` turns keys, not the entities of a key."""
    return (*_turned(key), entity) if descending else (key, entity)


def _turned(key: bytes) -> tuple[int, int]:
    """Puts keys into the opposite order. Of two that differ by NULs at the end the longer one is first."""
    return (-int.from_bytes(key.ljust(INDEX_KEY_MAX_BYTES, b"\0"), "big"), -len(key))


class Span(NamedTuple):
    """Rows of an index: of one kind, with `low` <= key <= `high`."""

    kind: IndexKind
    low: bytes
    high: bytes


KEYS_END = b"\xff"
"""Behind every key of an index: the first byte of a key is that of a type, and far below."""


class LookupKind(IntEnum):
    """How a condition is looked up; the first kind there is, is preferred."""

    EQUAL = 0
    """Rows with one key."""
    ONE_OF = 1
    """Rows with one of some keys."""
    RANGE = 2


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to look for in the index of a tag: a row in one of the spans has every record that can match.

    Not every record with such a row does match: keys are cut.
    """

    kind: LookupKind
    tag: str
    spans: tuple[Span, ...]
    label: str
    """For people: `status = "ok"`."""


def lookups(search: Search) -> list[Lookup]:
    """The ways in which indexes could find the records of a search, the preferred ones first.

    Each alone will do. There are none for tombstones, which no index holds, and for records that are named.
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
    """What must hold, each for itself."""
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
    """The lookup by whole keys that finds all for which the criteria hold, if there is one."""
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
            # Equal to one element of an array is equal.
            spans.append(_point(IndexKind.ELEMENT, value))
        return Lookup(LookupKind.EQUAL, tag, tuple(spans), f"{tag} = {_shown(value)}")
    if op is Op.IN and isinstance(value, StrArray | IntArray):
        keys = dict.fromkeys(_point(IndexKind.WHOLE, one) for one in value)
        return Lookup(LookupKind.ONE_OF, tag, tuple(keys), f"{tag} in ({_listed(value)})")
    if op is Op.HAVING:
        elements = value if isinstance(value, StrArray | IntArray) else (value,)
        if not elements:
            # Every array has all of none, the empty one too.
            return None
        point = _point(IndexKind.ELEMENT, elements[0])
        return Lookup(LookupKind.EQUAL, tag, (point,), f"{tag} having {_shown(elements[0])}")
    return None


def _point(kind: IndexKind, value: TagValue) -> Span:
    key = order_key(value)
    return Span(kind, key, key)


class _Bounds(NamedTuple):
    """What the range conditions on one tag, of one type, leave."""

    low: bytes
    high: bytes
    labels: tuple[str, ...]


_SIGNS = {Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">="}
# The keys of a type lie between these two: the second is the first key of the type that follows.
_TIMESTAMP_FIRST = order_key(Timestamp(INT64_MIN, -(1 << 31)))
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
        # The bound itself stays in, also for < and >: its key, when cut, stands for other values too.
        if op in (Op.GT, Op.GE):
            low = max(low, order_key(value))
        else:
            high = min(high, order_key(value))
        ranges[tag, type(value)] = _Bounds(low, high, (*labels, f"{tag} {_SIGNS[op]} {_shown(value)}"))
    return [
        Lookup(LookupKind.RANGE, tag, (Span(IndexKind.WHOLE, low, high),), _cut(" and ".join(labels)))
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
