"""What a store promises, whatever keeps it. SQLite keeps it on disk; the twin in memory keeps it for tests.

A store compares versions inside its own transaction, so the newest version wins whoever writes at the same
time. Digests and rows come from the same transaction: they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.core.session.tree import Leaf, Tree

LeafDigest: TypeAlias = Callable[[bytes, int], bytes]
"""(payload, delete_time) -> the 64 raw bytes of the leaf's sha512. Handed in: a store knows no encoding."""


IndexRows: TypeAlias = Callable[[bytes, Collection[str]], Sequence[IndexRow]]
"""(payload, tags) -> the rows of a live record in the indexes of these tags. Handed in, as `LeafDigest` is.

A payload that it cannot read, and raises for, has no rows: it may have come from a peer as it is.
"""


def no_index_rows(_payload: bytes, _tags: Collection[str]) -> Sequence[IndexRow]:
    """The `IndexRows` of a store whose payloads nobody looks into: every index stays empty."""
    return ()


class IndexHit(NamedTuple):
    """A row of an index, and the place behind which the next page begins."""

    key: bytes
    entity: Entity


class IndexState(Enum):
    """How far the index of a tag is."""

    BUILDING = "building"
    READY = "ready"


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


class IndexRefusedError(StoreError):
    """A shard cannot have this index. It has too many, or the tag's name is none that a client may write."""


class ShardCounts(NamedTuple):
    """How much a shard holds. `records` counts live ones only."""

    records: int
    tombstones: int
    unhashed: int
    """Leaves whose digest is still to be computed."""


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What a check of the whole store found. The system group is checked too, but is in no figure or root."""

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
        """Every shard that holds anything: records, or an index, though it be empty."""
        ...

    async def drop(self, shard: ShardId) -> None:
        """Forget a shard: records, digests, counters and indexes. In steps, each of them durable.

        A crash on the way leaves a part, of which every digest is right; another call goes on with it.
        Writes to the shard meanwhile are the caller's to keep away.
        """
        ...

    async def note(self, key: str) -> bytes | None:
        """A note of the node's own, kept with the records; None when there is none."""
        ...

    async def keep_note(self, key: str, value: bytes | None) -> None:
        """Keep a note (None: forget it). Returns once that is durable."""
        ...

    # Tag indexes

    async def want_index(self, shard: ShardId, tag: str) -> None:
        """Have an index of a tag from now on. It is of use once `build_indexes` has gone through the shard.

        From then on every write, on whatever path, keeps it right in its own transaction. An empty shard's
        is ready at once; one that is there already stays as it is.

        Raises:
            IndexRefusedError: the shard has INDEXES_PER_SHARD_MAX already, or the tag's name is too long.
            InvalidEntityError: nothing can be kept under such a shard.
        """
        ...

    async def drop_index(self, shard: ShardId, tag: str) -> None:
        """Do without the index of a tag: gone for all at once, its rows removed in steps."""
        ...

    def indexes(self, shard: ShardId) -> dict[str, IndexState]:
        """The indexes of a shard by tag."""
        ...

    async def build_indexes(self, *, limit: int) -> int:
        """Take up to `limit` more records into indexes that are being built; 0 when all are ready.

        Goes on where it was after a restart. What a crash left of indexes that were given up is removed too.
        """
        ...

    async def find(
        self,
        shard: ShardId,
        tag: str,
        kind: IndexKind,
        low: bytes,
        high: bytes,
        *,
        after: IndexHit | None = None,
        descending: bool = False,
        limit: int,
    ) -> list[IndexHit]:
        """Up to `limit` rows of a READY index with `low` <= key <= `high`, behind `after`.

        In the order of (key, entity); `descending` turns the keys round, not the entities of a key.

        Raises:
            LookupError: there is no such index, or it is not ready.
        """
        ...

    async def wait_failed(self) -> StoreError:
        """Return, with the reason, once the store can take no more writes until it is opened again."""
        ...
