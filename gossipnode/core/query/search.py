"""A search: what a replica is asked for, and in which order it gives what it finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.tag_value import NO_VALUE, TagValue
from gossipnode.core.query.criteria import Condition, Criteria, sort_key
from gossipnode.core.query.index_key import INDEX_KEY_MAX_BYTES, is_cut, order_key

QUERY_MAX_RECORDS = 1_000_000
"""Records that one query may ask for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order of a search, at which a search can go on later.

    `value` is the value of the tag that orders the search. It is NO_VALUE when the record lacks that tag, and
    when the search is in the order of keys.
    """

    entity: Entity
    value: TagValue = NO_VALUE


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for among the records of some shards.

    An empty `name` and empty `ids` mean that every name and every id is asked for; an empty `order_by` means
    the order of keys. The criteria have passed `check_criteria`. No entity belongs to two of the shards.
    """

    shards: tuple[ShardId, ...]
    name: str = ""
    ids: frozenset[str] = frozenset()
    criteria: Criteria | None = None
    order_by: str = ""
    descending: bool = False
    after: Place | None = None
    """The search begins after this place in its order."""
    tombstones: bool = False
    """Whether tombstones are given too; they are given whatever the criteria say."""
    expected: int = 0
    """About how many records will be wanted, or 0 for all of them. It is a hint that changes no answer."""

    @property
    def by_key(self) -> bool:
        """Whether the search gives the keys of the records that it wants."""
        return bool(self.name and self.ids)

    def names(self, entity: Entity) -> bool:
        """Whether a record of this name and id is asked for. Its tags are not looked at."""
        return (not self.name or entity.name == self.name) and (not self.ids or entity.id in self.ids)

    def key(self, place: Place) -> tuple[Any, ...]:
        """The key by which places of this search compare.

        It gives the same order as `place_key`, but compares faster when the order is descending.
        """
        if not (self.order_by and self.descending):
            return place_key(place, self.order_by, self.descending)
        key = order_key(place.value)
        if not key:
            return (1, place.entity)
        exact = place_key(place, self.order_by, self.descending) if is_cut(key) else ()
        return (0, *_turned(key), exact, place.entity)


def place_key(place: Place, order_by: str, descending: bool) -> tuple[Any, ...]:
    """The key by which places compare: `sort_key` of the record, or its entity in the order of keys."""
    if not order_by:
        return (place.entity,)
    return sort_key({order_by: place.value}, order_by, place.entity, descending=descending)


def place_of(entity: Entity, tags: Mapping[str, TagValue], order_by: str) -> Place:
    """The place of a record with these tags in the order of the tag `order_by` ("" for the order of keys)."""
    value = tags.get(order_by) if order_by else None
    return Place(entity, NO_VALUE if value is None else value)


def tags_needed(search: Search) -> frozenset[str]:
    """The tags that decide whether the search finds a record, and at which place."""
    ordered = (search.order_by,) if search.order_by else ()
    return frozenset((*_names(search.criteria), *ordered))


def _names(criteria: Criteria | None) -> Iterator[str]:
    if isinstance(criteria, Condition):
        yield criteria.name
    elif criteria is not None:
        yield from _names(criteria.left)
        yield from _names(criteria.right)


def walk_key(key: bytes, entity: Entity, descending: bool) -> tuple[Any, ...]:
    """The key by which rows of an index compare in a walk along it.

    With `descending` the keys come in the opposite order, but rows of one key still ascend by entity.
    """
    return (*_turned(key), entity) if descending else (key, entity)


def _turned(key: bytes) -> tuple[int, int]:
    """A value that compares in the opposite order of the key.

    Padding makes keys equal that differ only by NULs at their end; then the longer key comes first.
    """
    return (-int.from_bytes(key.ljust(INDEX_KEY_MAX_BYTES, b"\0"), "big"), -len(key))
