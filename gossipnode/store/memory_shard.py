"""What a store in memory holds of one shard.

Nothing is computed twice: whatever a write leaves as it was is kept, so that a simulation can ask for trees,
pages and index rows as often as it likes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.core.retention.marks import Entry, Marks, refusal
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree, make_tree, slot_sha
from gossipnode.store.follower import NumberedVersion
from gossipnode.store.interface import IndexHit, IndexRows, LeafDigest, ShardCounts, ShardSummary
from gossipnode.store.memory_index import WantedIndex

Key = TypeVar("Key")
Value = TypeVar("Value")


class KeptChange(NamedTuple):
    """Which commit stored a record, how it came, and what it took the place of."""

    sequence: int
    arrival: bytes
    replaced: Record | None


class Kept(NamedTuple):
    """All that is kept of an entity."""

    record: Record | None
    aside: Record | None
    """The version that was set aside as damaged."""
    lineage: bytes | None
    """What is kept beside `record`."""
    rotten: bytes | None
    """What has become of the payload of `record` on the disk, if that is not what was written."""
    change: KeptChange | None
    """How `record` came; None if that is not known."""


class HeldShard:
    """What is held of a shard: its records, and what follows from them."""

    __slots__ = (
        "_by_number",
        "_leaves",
        "_numbers",
        "_slot_order",
        "_slot_shas",
        "_tree",
        "aside",
        "changes",
        "indexes",
        "lineages",
        "order",
        "records",
        "rotten",
        "tombstones",
        "unhashed",
    )

    def __init__(self) -> None:
        """Holds nothing yet."""
        self.records: dict[Entity, Record] = {}
        self.order: list[Entity] = []
        """The entities of all records, ascending."""
        self.tombstones = 0
        self.unhashed: dict[Entity, None] = {}
        """The entities of records whose digest is still to be computed, the oldest first."""
        self.aside: dict[Entity, Record] = {}
        """Records that were found damaged. They are held no more, but their versions stay known."""
        self.rotten: dict[Entity, bytes] = {}
        """The payloads that are not what was written, as they are on the disk. Nobody has met them yet."""
        self.lineages: dict[Entity, bytes] = {}
        """What is kept beside records."""
        self.changes: dict[Entity, KeptChange] = {}
        """How records came."""
        self.indexes: dict[str, WantedIndex] = {}
        self._leaves: dict[Entity, Leaf] = {}
        self._numbers: dict[Entity, int] = {}
        self._by_number: list[Entity] = []
        self._slot_order: dict[int, list[Entity]] = {}
        self._slot_shas: dict[int, str] = {}
        self._tree: Tree | None = None

    def copy(self) -> HeldShard:
        """The shard as it is now, apart from this one. Records are shared, since none ever changes."""
        other = HeldShard()
        other.records = dict(self.records)
        other.order = list(self.order)
        other.tombstones = self.tombstones
        other.unhashed = dict(self.unhashed)
        other.aside = dict(self.aside)
        other.rotten = dict(self.rotten)
        other.lineages = dict(self.lineages)
        other.changes = dict(self.changes)
        other.indexes = {tag: index.copy() for tag, index in self.indexes.items()}
        other._leaves = dict(self._leaves)
        other._numbers = dict(self._numbers)
        other._by_number = list(self._by_number)
        other._slot_order = {slot: list(order) for slot, order in self._slot_order.items()}
        other._slot_shas = dict(self._slot_shas)
        other._tree = self._tree
        return other

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that would keep the shard listed."""
        return not (self.records or self.aside or self.indexes)

    # Records

    def kept(self, entity: Entity) -> Kept:
        """All that is kept of an entity."""
        return Kept(
            self.records.get(entity),
            self.aside.get(entity),
            self.lineages.get(entity),
            self.rotten.get(entity),
            self.changes.get(entity),
        )

    def keep(self, entity: Entity, kept: Kept) -> None:
        """Keep this of an entity, whatever there was."""
        slot = slot_of(entity)
        before = self.records.pop(entity, None)
        self.tombstones -= before is not None and before.deleted
        if before is None and kept.record is not None:
            insort(self.order, entity)
            insort(self._slot_order.setdefault(slot, []), entity)
        elif before is not None and kept.record is None:
            _remove(self.order, entity)
            _remove(self._slot_order[slot], entity)
        self._forget_digest(entity, slot)
        if kept.record is None:
            self.unhashed.pop(entity, None)
        else:
            self.unhashed[entity] = None
            self.records[entity] = kept.record
            self.tombstones += kept.record.deleted
        set_or_remove(self.aside, entity, kept.aside)
        set_or_remove(self.lineages, entity, kept.lineage)
        set_or_remove(self.rotten, entity, kept.rotten)
        set_or_remove(self.changes, entity, kept.change)
        for index in self.indexes.values():
            index.forget(entity)

    def decided(self, record: Record, marks: Marks, entry: Entry) -> tuple[WriteResult, Version | None]:
        """Whether a record is to be held, and the version that it replaces, be that set aside."""
        current = self.records.get(record.entity)
        if current is not None and record.version <= current.version:
            equal = record.version == current.version
            return WriteResult(WriteOutcome.EQUAL if equal else WriteOutcome.OLDER, current.version), None
        aside = self.aside.get(record.entity)
        if aside is not None and record.version < aside.version:
            return WriteResult(WriteOutcome.OLDER, aside.version), None
        before = aside or current
        version = before.version if before else None
        refused = refusal(marks, record.version, version, entry)
        return refused or WriteResult(WriteOutcome.STORED, record.version), version

    def after(self, entity: Entity | None, slot: int | None = None) -> Iterator[Entity]:
        """The entities that come after one, in order: of the whole shard, or of one slot."""
        order = self.order if slot is None else self._slot_order.get(slot, [])
        return islice(order, 0 if entity is None else bisect_right(order, entity), None)

    def in_tree_order(self, entity: Entity | None) -> Iterator[Entity]:
        """The entities that come after one, in the order of the tree."""
        first = 0 if entity is None else slot_of(entity)
        for slot in sorted(slot for slot in self._slot_order if slot >= first):
            yield from self.after(entity if slot == first else None, slot)

    # Numbers

    def numbered(self, entity: Entity) -> NumberedVersion:
        """What is held of an entity, with its number."""
        number = self._numbers.get(entity)
        if number is None:
            number = self._numbers[entity] = len(self._by_number)
            self._by_number.append(entity)
        return NumberedVersion(entity, self.records[entity].version, number)

    def with_numbers(self, numbers: Iterable[int]) -> list[Entity]:
        """The entities that had these numbers at some time."""
        return [self._by_number[number] for number in numbers if number < len(self._by_number)]

    def by_number(self, number: int) -> Record | None:
        """The record with this number, if one is held."""
        return self.records.get(self._by_number[number]) if number < len(self._by_number) else None

    # Digests

    def doubt(self, entity: Entity) -> None:
        """Forget the digest of a record that is held, to have it computed again."""
        self._forget_digest(entity, slot_of(entity))
        self.unhashed.setdefault(entity)

    def spoil_digest(self, entity: Entity) -> bool:
        """Let the digest of a record be wrong, and those that follow from it; gives whether it is known."""
        leaf = self._leaves.get(entity)
        if leaf is None:
            return False
        self._forget_digest(entity, leaf.slot)
        self._leaves[entity] = leaf._replace(sha=leaf.sha[::-1])
        return True

    def forget_digests(self) -> None:
        """Forget all digests, since from now on another formula makes them."""
        self.unhashed = dict.fromkeys(self.records)
        self._leaves.clear()
        self._slot_shas.clear()
        self._tree = None

    def leaf(self, entity: Entity, digest: LeafDigest) -> Leaf:
        """A record as a leaf of the tree."""
        leaf = self._leaves.get(entity)
        if leaf is None:
            record = self.records[entity]
            sha = digest(record.payload, record.version.delete_time).hex()
            leaf = self._leaves[entity] = Leaf(slot_of(entity), entity, sha, record.version)
            del self.unhashed[entity]
        return leaf

    @property
    def counts(self) -> ShardCounts:
        """How much it holds."""
        return ShardCounts(len(self.records) - self.tombstones, self.tombstones, len(self.unhashed))

    def summary(self, digest: LeafDigest) -> ShardSummary:
        """What is known of it without computing any leaf."""
        return ShardSummary(self.counts, None if self.unhashed else self.tree(digest).root)

    def tree(self, digest: LeafDigest) -> Tree:
        """The digests of the shard."""
        if self._tree is None:
            for slot, order in self._slot_order.items():
                if order and slot not in self._slot_shas:
                    self._slot_shas[slot] = slot_sha(self.leaf(entity, digest).sha for entity in order)
            self._tree = make_tree(SlotDigest(*slot) for slot in sorted(self._slot_shas.items()))
        return self._tree

    def _forget_digest(self, entity: Entity, slot: int) -> None:
        self._leaves.pop(entity, None)
        self._slot_shas.pop(slot, None)
        self._tree = None

    # Indexes

    def hits(self, tag: str, kind: IndexKind, index_rows: IndexRows) -> list[IndexHit]:
        """The rows of a kind in an index, ascending."""
        index = self.indexes[tag]
        hits = index.hits.get(kind)
        if hits is None:
            for entity in self.order:
                if entity not in index.rows:
                    index.rows[entity] = _rows(self.records[entity], tag, index_rows)
            hits = index.hits[kind] = sorted(
                IndexHit(row.key, entity)
                for entity, rows in index.rows.items()
                for row in rows
                if row.kind is kind
            )
        return hits

    def build(self, index: WantedIndex, limit: int) -> int:
        """Take up to `limit` more records into an index; gives how many. With fewer, the index is ready."""
        part = list(islice(self.after(index.reached), limit))
        for entity in part:
            if entity in self.rotten:
                # A rotten record has no rows. The next read of it sets it aside.
                index.rows[entity] = frozenset()
        index.ready = len(part) < limit
        index.reached = part[-1] if part else index.reached
        return len(part)


def _rows(record: Record, tag: str, index_rows: IndexRows) -> frozenset[IndexRow]:
    if record.deleted:
        return frozenset()
    try:
        return frozenset(index_rows(record.payload, (tag,)))
    except Exception:  # noqa: BLE001 (a payload of a peer that cannot be read has no rows)
        return frozenset()


def set_or_remove(values: dict[Key, Value], key: Key, value: Value | None) -> None:
    """Set a value, or remove it if it is None."""
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _remove(order: list[Entity], entity: Entity) -> None:
    del order[bisect_left(order, entity)]


def by_slot(entities: Iterable[Entity]) -> list[Entity]:
    """Entities in the order of slots, as a tree has them."""
    return sorted(entities, key=lambda entity: (slot_of(entity), entity))


def unhashed_of(held: HeldShard, entities: Iterable[Entity]) -> Iterable[Entity]:
    """Those of which no digest is kept."""
    return (entity for entity in entities if entity in held.unhashed)
