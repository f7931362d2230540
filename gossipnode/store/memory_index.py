"""An index of a store in memory."""

from __future__ import annotations

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
