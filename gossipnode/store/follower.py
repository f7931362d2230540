"""Who follows what a store holds: item indexes of reconcile sessions, and watches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version


class NumberedVersion(NamedTuple):
    """What is held of an entity, without the payload, and the number under which `Store.by_number` finds it.

    A record keeps its number as long as it is held. Later another record may have it.
    """

    entity: Entity
    version: Version
    number: int


class Replaced(NamedTuple):
    """The version that another one took the place of."""

    mod_revision: int
    delete_time: int
    payload: bytes | None = None
    """None unless a follower wants it, see `StoreChanges.tell_replaced`."""


class StoredChange(NamedTuple):
    """A version that a commit has stored."""

    shard: ShardId
    record: Record
    number: int
    """See `NumberedVersion`."""
    sequence: int
    """The number of the commit, see `Store.commit_number`."""
    arrival: bytes
    """What was written about how the version came, see `Store.write`; empty if that was nothing."""
    replaced: Replaced | None
    """None if nothing was held of the entity, or nothing is known of it."""


class ChangePage(NamedTuple):
    """Some of the changes of a shard, in the order of the commits."""

    changes: list[StoredChange]
    reached: int
    """All changes of commits up to this number are told: the next page comes after it."""
    whole: bool
    """Whether that was all."""


class StoreFollower(Protocol):
    """Is told what becomes of the records of a store, in the order of the commits."""

    def stored(self, changes: Sequence[StoredChange]) -> None:
        """A commit has stored these, each entity once. Called before the writes return."""
        ...

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        """A commit has removed just these: tombstones that are purged, or records that were given up.

        Called in the order of the commits, as `stored` is, and must not take long.
        """
        ...

    def removed(self, shard: ShardId | None) -> None:
        """Records of a shard are held no more; None: of some shard."""
        ...


class StoreChanges(Protocol):
    """What becomes of the records of a store: told as it happens, and read afterwards.

    There is no log of the changes. Each record has the number of the commit that stored its version, so a
    version that was replaced since is found no more.
    """

    def follow(self, follower: StoreFollower) -> None:
        """Tell `follower` of every change from now on, for as long as the store is open."""
        ...

    def tell_replaced(self, shards: Collection[ShardId]) -> None:
        """Tell followers the payloads that writes to these shards replace. It costs a read for each write."""
        ...

    async def since(self, shard: ShardId, sequence: int, *, limit: int) -> ChangePage:
        """The versions of a shard that commits after number `sequence` have stored, if they are still held.

        A page has whole commits: `limit` changes at most, or those of a single commit if they are more.
        """
        ...

    async def of(self, shard: ShardId, entity: Entity) -> StoredChange | None:
        """What is held of an entity, and how it came; None if nothing is held.

        Raises:
            RecordDamagedError: the record was set aside.
        """
        ...
