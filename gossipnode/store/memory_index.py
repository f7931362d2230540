"""An index of a store in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace

from gossipnode.core.model.property import Entity
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.store.interface import IndexHit


@dataclass(slots=True)
class WantedIndex:
    """An index of a tag. Its rows are made when they are first asked for."""

    ready: bool
    reached: Entity | None = None
    """The last entity that building has taken in."""
    rows: dict[Entity, frozenset[IndexRow]] = field(default_factory=dict[Entity, frozenset[IndexRow]])
    """The rows of those records of which they are known."""
    hits: dict[IndexKind, list[IndexHit]] = field(default_factory=dict[IndexKind, list[IndexHit]])
    """The rows of a kind, in their order. Empty after a write to the shard."""

    def copy(self) -> WantedIndex:
        """The index as it is now, apart from this one."""
        return replace(self, rows=dict(self.rows), hits={})

    def forget(self, entity: Entity) -> None:
        """A record has changed."""
        self.rows.pop(entity, None)
        self.hits.clear()


def page_of(
    hits: list[IndexHit],
    low: bytes,
    high: bytes,
    after: IndexHit | None,
    limit: int,
    *,
    descending: bool,
) -> list[IndexHit]:
    """A page of `Store.find`, from all rows of an index in ascending order."""
    start = bisect_left(hits, low, key=_key_of)
    end = bisect_right(hits, high, key=_key_of)
    if not descending:
        start = start if after is None else max(start, bisect_right(hits, after))
        return hits[start : min(end, start + limit)]
    # Keys descend, but the entities of one key still ascend.
    found = sorted(hits[start:end], key=_key_of, reverse=True)
    if after is not None:
        key, entity = after
        found = [hit for hit in found if hit.key < key or (hit.key == key and hit.entity > entity)]
    return found[:limit]


def _key_of(hit: IndexHit) -> bytes:
    return hit.key
