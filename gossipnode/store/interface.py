"""What a store promises, whatever keeps it. SQLite keeps it on disk; the twin in memory keeps it for tests.

A store compares versions inside its own transaction, so the newest version wins whoever writes at the same
time. Digests and rows come from the same transaction: they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from gossipnode.core.property import Entity, Record, ShardId
from gossipnode.core.slot_tree import Leaf, Tree
from gossipnode.core.version import Version

LeafDigest: TypeAlias = Callable[[bytes, int], bytes]
"""(payload, delete_time) -> the 64 raw bytes of the leaf's sha512. Handed in: a store knows no encoding."""


class StoreError(Exception):
    """Base of the errors of a store. The message says what a user can do."""


class StoreLockedError(StoreError):
    """Another process has the data directory open."""


class StoreDamagedError(StoreError):
    """The file is damaged, or is no store at all."""


class StoreTooNewError(StoreError):
    """The file was written by a newer version of gossipnode."""


class StoreFullError(StoreError):
    """The disk is full: nothing of the write was kept. Reads go on; a later write may work again."""


class StoreClosedError(StoreError):
    """The store is closed, or failed in a way that it cannot go on after."""


class Written(Enum):
    """What became of one record of a write."""

    STORED = "stored"
    OLDER = "older"
    """The store has a newer version and kept it."""
    EQUAL = "equal"
    REFUSED = "refused"
    """This record alone cannot be stored; `WriteResult.problem` says why."""


class WriteResult(NamedTuple):
    """The outcome for one record. `version` is what the store holds now (None: nothing)."""

    outcome: Written
    version: Version | None
    problem: str = ""


class ShardCounts(NamedTuple):
    """How much a shard holds. `records` counts live ones only."""

    records: int
    tombstones: int
    unhashed: int
    """Leaves whose digest is still to be computed."""


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What a check of the whole store found."""

    records: int
    tombstones: int
    wrong: tuple[str, ...]
    """One line a finding, naming the entity or slot. A few hundred are kept; `wrong_count` counts all."""
    wrong_count: int
    roots: tuple[tuple[ShardId, str], ...]


class Store(Protocol):
    """The records of one node. Every method may be called from many tasks at once.

    Records are kept under the `ShardId` that they are written with. Group, name and id order means the order
    of `Entity` tuples.
    """

    async def write(
        self, shard_records: Sequence[tuple[ShardId, Record]], *, stamp: int = 0
    ) -> list[WriteResult]:
        """Store each record that is newer than what is held; return, in order, after the commit is durable.

        `stamp` is the node's clock: the largest one ever given is kept in the same transaction, so that a
        restarted node goes on behind it.

        Cancelling does not take effect before the commit is known: the rows may already be there.

        Raises:
            StoreFullError: nothing of this write was kept.
            StoreClosedError: the store has closed or failed.
        """
        ...

    async def read(self, shard: ShardId, entities: Sequence[Entity]) -> list[Record | None]:
        """The stored versions, tombstones included, in the order asked."""
        ...

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """Up to `limit` leaves of one slot in entity order, behind `after`, each with its sha."""
        ...

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """Up to `limit` records of a shard in entity order behind `after`, tombstones included.

        With `name`, only the records of that name.
        """
        ...

    async def tree(self, shard: ShardId) -> Tree:
        """The digests of a shard, computed where writes have made them stale. A new shard's tree is empty."""
        ...

    async def counts(self, shard: ShardId) -> ShardCounts:
        """How much a shard holds, from kept counters: costs the same whatever the size."""
        ...

    async def last_stamp(self) -> int:
        """The largest `stamp` ever given to `write`, or 0."""
        ...

    async def fill_digests(self, *, limit: int) -> int:
        """Compute and keep up to `limit` leaf digests that are still missing; returns how many were done.

        Called by a background task of the node, so that a round seldom has to wait for them.
        """
        ...

    def shards(self) -> list[ShardId]:
        """Every shard that holds anything."""
        ...

    async def wait_failed(self) -> StoreError:
        """Return, with the reason, once the store can take no more writes until it is opened again."""
        ...
