"""What a store promises. The SQLite store keeps it on disk, and its twin in memory keeps it for tests.

A store compares versions inside its own transaction, so the newest wins even if several tasks write at the
same time. Digests and records change in one transaction, so they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.core.query.request_lineage import LineagePage
from gossipnode.core.retention.marks import Entry
from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.store.follower import NumberedVersion, StoreChanges
from gossipnode.store.retention import Retention
from gossipnode.store.store_figures import StoreFigures

LeafDigest: TypeAlias = Callable[[bytes, int], bytes]
"""(payload, delete_time) -> the 64 raw bytes of the leaf's digest. Handed in: a store knows no encoding."""

IndexRows: TypeAlias = Callable[[bytes, Collection[str]], Sequence[IndexRow]]
"""(payload, tags) -> the rows of a live record in the indexes of these tags. Handed in, as `LeafDigest` is.

If it raises, the record has no rows: a payload may come from a peer, and need not be readable.
"""


def no_index_rows(_payload: bytes, _tags: Collection[str]) -> Sequence[IndexRow]:
    """The `IndexRows` of a store that reads no payload: every index stays empty."""
    return ()


class IndexHit(NamedTuple):
    """A row of an index. The last one of a page says where the next page begins."""

    key: bytes
    entity: Entity


class IndexState(Enum):
    """Whether the index of a tag holds all records of its shard."""

    BUILDING = "building"
    READY = "ready"


LINEAGE_PAGE_BYTES = 256 << 10
"""How much a page of lineages has, unless a single one is larger."""

LOST_COMMITS_NOTE = "lost-commits"
"""The note that a store finds in itself after it was opened and commits at the end of its log were damaged.

It says how many they were, as decimal text. The node that has drawn its conclusion removes it.
"""


class StoreError(Exception):
    """The base of all errors of a store. The message says what a user can do."""


class StoreLockedError(StoreError):
    """Another process has the data directory open."""


class StoreDamagedError(StoreError):
    """The file is damaged, or it is not a store."""


class RecordDamagedError(StoreError):
    """One record is damaged and was set aside; the others are served. A replica's version of it heals it."""


class StoreTooNewError(StoreError):
    """The file was written by a newer version of gossipnode."""


class OtherNodeError(StoreError):
    """The data directory belongs to a node of another name."""


class StoreFullError(StoreError):
    """The disk is full, and nothing of the write was kept. Reads go on, and a later write may work again."""


class StoreClosedError(StoreError):
    """The store is closed, or it has failed and takes no more calls until it is opened again."""


class IndexRefusedError(StoreError):
    """A shard cannot have this index: it has too many, or a client could not write a tag of this name."""


class DiskState(NamedTuple):
    """What a store knows of its disk, as of its last look."""

    full: bool
    """Whether writes are refused for lack of space."""
    free_bytes: int


class DamagedRecords(NamedTuple):
    """Records that rotted on the disk and were set aside. They are back once a write brings them."""

    records: int
    names: tuple[str, ...]
    """The first of them. One whose key is damaged, too, is named by its bytes."""


class ShardCounts(NamedTuple):
    """How much a shard holds. `records` counts live records, without tombstones."""

    records: int
    tombstones: int
    unhashed: int
    """Leaves of both kinds whose digest is still to be computed."""


class ShardSummary(NamedTuple):
    """What a store says of one of its shards without computing anything."""

    counts: ShardCounts
    root: str | None
    """The root of its tree; None if a digest is still to be computed."""


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """What a check of the whole store found."""

    records: int
    tombstones: int
    wrong: tuple[str, ...]
    """A line for each finding, which names the entity or slot. A few hundred are kept."""
    wrong_count: int
    """The number of all findings."""
    roots: tuple[tuple[ShardId, str], ...]


class Lineages(Protocol):
    """What is kept beside records, see `Store.write`."""

    async def of(self, shard: ShardId, entity: Entity) -> bytes:
        """What is kept beside a record; empty if that is nothing."""
        ...

    async def page(self, shard: ShardId, *, after: Entity | None, since: int) -> LineagePage:
        """What is kept beside records with a stamp of at least `since`, in the order of the tree.

        The page comes after `after`, and has `LINEAGE_PAGE_BYTES` or a little more at most.
        """
        ...

    async def keep(self, shard: ShardId, changes: Sequence[tuple[Entity, bytes, bytes]]) -> None:
        """Change what is kept beside records, each time from one thing to another.

        Where something else is kept by then, or no such record is held, nothing changes. Returns once that is
        durable.
        """
        ...


class Store(Protocol):
    """The records of one node. Many tasks may call it at once.

    A record is kept under the `ShardId` that it is written with. Entity order is the order of `Entity`
    tuples.
    """

    async def write(
        self,
        shard_records: Sequence[tuple[ShardId, Record]],
        *,
        stamp: int = 0,
        doubt_equal: bool = False,
        lineages: Sequence[bytes] = (),
        arrivals: Sequence[bytes] = (),
        entries: Sequence[Entry] = (),
    ) -> list[WriteResult]:
        """Store each record that is newer than what is held. Returns once the commit is durable.

        The results are in the order of the records. A record that cannot be stored is refused in its own
        result; the others are stored. `stamp` is the node's clock: the largest one ever given is kept in the
        same transaction, so that a restarted node goes on with larger stamps.

        With `doubt_equal`, the digests of a record that is held already are computed again. A session sends a
        record only where digests differ, so one that turns out equal shows that a kept digest is wrong.

        `lineages` has one entry a record: what is kept beside it in the same transaction, if the record is
        held afterwards. An empty one leaves what is there. `arrivals` has one entry a record, too: it says
        how the record came, and is kept if the record is stored. A store knows nothing of what either says.
        `entries` say by which way each record comes, see `core.retention.marks`.
        Once the write has been handed to the store, a cancellation takes effect only after the commit,
        because the records may be stored already.

        Raises:
            StoreFullError: nothing of this write was kept.
            StoreClosedError: the store has closed or failed.
        """
        ...

    async def read(
        self, shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        """What is stored of these entities, in their order: a record, a tombstone, or None.

        Raises:
            RecordDamagedError: one of them was set aside. With `skip_damaged` it counts as not stored.
        """
        ...

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """Up to `limit` leaves of one slot that come after `after`, in entity order, each with its digest."""
        ...

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """Up to `limit` records of a shard that come after `after`, in entity order, tombstones included.

        With `name`, only the records of that name. A record that was set aside is left out.
        """
        ...

    async def versions(
        self, shard: ShardId, *, after: Entity | None = None, limit: int
    ) -> list[NumberedVersion]:
        """Up to `limit` versions of a shard that come after `after`, in the order of the tree."""
        ...

    async def by_number(self, shard: ShardId, numbers: Sequence[int]) -> list[Record | None]:
        """The records of a shard with these numbers, in their order; None where none is held.

        A number may have been given to another record since it was read.
        """
        ...

    async def tree(self, shard: ShardId) -> Tree:
        """The digests of a shard. They are computed where writes have made them stale."""
        ...

    async def known_root(self, shard: ShardId) -> str | None:
        """The root of the tree of a shard, if no digest has to be computed for it."""
        ...

    async def counts(self, shard: ShardId) -> ShardCounts:
        """How much a shard holds. It is read from counters, so it costs the same for a large shard."""
        ...

    async def summaries(self) -> dict[ShardId, ShardSummary]:
        """Every shard that there is, in one pass. Each summary is of one moment, and all are not.

        It costs less than `counts` and `tree` of each shard, and lets other tasks run in between.
        """
        ...

    async def last_stamp(self) -> int:
        """The largest `stamp` ever given to `write`, or 0."""
        ...

    async def fill_digests(self, *, limit: int) -> int:
        """Compute and keep up to `limit` leaf digests that are still missing; returns how many were kept.

        A background task of the node calls it, so that a round seldom has to wait for digests.
        """
        ...

    def shards(self) -> list[ShardId]:
        """Every shard that holds a record or has an index, even an empty one."""
        ...

    async def drop(self, shard: ShardId) -> None:
        """Remove a shard: its records, digests, counters and indexes. Done in steps, each of them durable.

        After a crash between two steps a part of the shard is left, with right digests; another call removes
        the rest. The caller must see to it that nothing is written to the shard meanwhile.
        """
        ...

    async def note(self, key: str) -> bytes | None:
        """A note that the node keeps beside its records, by its key; None if there is no such note."""
        ...

    async def keep_note(self, key: str, value: bytes | None, *, numbered: bool = True) -> None:
        """Keep a note, or remove it if `value` is None. Returns once that is durable.

        The commit gets no number if it is not to be `numbered`, see `commit_number`.
        """
        ...

    @property
    def commit_number(self) -> int:
        """How many commits of records and numbered notes the store has had. All of them are durable.

        It never falls, over restarts either, unless the files are those of an earlier time.
        """
        ...

    @property
    def changes(self) -> StoreChanges:
        """What becomes of the records."""
        ...

    @property
    def lineages(self) -> Lineages:
        """What is kept beside records."""
        ...

    @property
    def figures(self) -> StoreFigures:
        """What it counts of itself."""
        ...

    @property
    def retention(self) -> Retention:
        """What is kept so that tombstones can be purged."""
        ...

    # Tag indexes

    async def want_index(self, shard: ShardId, tag: str) -> None:
        """Have an index of a tag from now on. It can be read once `build_indexes` has gone through the shard.

        From now on every write to the shard keeps the index right in its own transaction. The index of an
        empty shard is ready at once. An index that exists already stays as it is.

        Raises:
            IndexRefusedError: the shard has INDEXES_PER_SHARD_MAX already, or the tag's name is too long.
            InvalidEntityError: nothing can be kept under such a shard.
        """
        ...

    async def drop_index(self, shard: ShardId, tag: str) -> None:
        """Give up the index of a tag. It is gone for readers at once, and its rows are removed in steps."""
        ...

    def indexes(self, shard: ShardId) -> dict[str, IndexState]:
        """The indexes of a shard by tag."""
        ...

    async def build_indexes(self, *, limit: int) -> int:
        """Take up to `limit` more records into indexes that are being built; returns 0 once all are ready.

        After a restart it continues where it was. It also removes what a crash has left of given up indexes.
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
        """Up to `limit` rows of a READY index with `low` <= key <= `high`, those that come after `after`.

        The order is that of (key, entity). With `descending` the keys descend; the entities of a key still
        ascend.

        Raises:
            LookupError: there is no such index, or it is still being built.
        """
        ...

    # The disk

    async def damaged_records(self, *, limit: int) -> DamagedRecords:
        """How many records are set aside, and the names of up to `limit` of them."""
        ...

    async def damaged_shards(self) -> dict[ShardId, str]:
        """The shards of which records are set aside, each with the name of one of these records."""
        ...

    @property
    def disk(self) -> DiskState:
        """Whether the disk is full. A full one refuses writes, and ends to be full by itself."""
        ...

    @property
    def disk_changed(self) -> ChangeEvent:
        """Tells that the disk became full, or has room again."""
        ...

    async def wait_failed(self) -> StoreError:
        """Wait until the store has failed and takes no more calls; returns the reason."""
        ...
