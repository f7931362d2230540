"""Who follows what a store holds: the item indexes of the reconcile session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version


class NumberedVersion(NamedTuple):
    """What is held of an entity, without the payload, and the number under which `Store.by_number` finds it.

    A record keeps its number as long as it is held. Later another record may have it.
    """

    entity: Entity
    version: Version
    number: int


class StoreFollower(Protocol):
    """Is told what becomes of the records of a store, in the order of the commits."""

    def stored(self, versions: Sequence[tuple[ShardId, NumberedVersion]]) -> None:
        """A commit has stored these. Called before the writes return, and must not take long."""
        ...

    def removed(self, shard: ShardId | None) -> None:
        """Records of a shard are held no more; None: of some shard."""
        ...
