"""A query: what a client asks of the whole cluster, whichever way it came."""

from __future__ import annotations

from dataclasses import dataclass

from gossipnode.core.model.property import Entity
from gossipnode.core.query.criteria import Criteria
from gossipnode.core.query.search import QUERY_MAX_RECORDS

QUERY_DEFAULT_LIMIT = 100
"""The limit of a query that names none."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Empty `name`, `ids` and `select` mean all; limit 0 means the default."""

    groups: tuple[str, ...]
    name: str = ""
    ids: frozenset[str] = frozenset()
    criteria: Criteria | None = None
    select: tuple[str, ...] = ()
    """The tags that the answer holds of each record."""
    order_by: str = ""
    descending: bool = False
    limit: int = 0
    after: Entity | None = None
    """Only what comes after this record, in the order of the query."""
    ack: str = ""
    """How many replicas must have answered: the name of a level, or "" for that of each group."""
    everything: bool = False
    """Without a limit."""
    tombstones: bool = False
    """Deleted records too, whatever the criteria."""

    @property
    def most(self) -> int:
        """How many records the answer holds at most; 0: any number."""
        return 0 if self.everything else min(self.limit or QUERY_DEFAULT_LIMIT, QUERY_MAX_RECORDS)
