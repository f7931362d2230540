"""The store's twin in memory, for tests and simulations: the same promises, kept in the simplest way.

A commit takes `commit_seconds` of Trio's time, and a crash loses what has not been committed. It must not
hold real data, since nothing outlives the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.entity_hash import slot_of
from gossipnode.core.model.limits import SLOT_COUNT
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.index_key import IndexKind, IndexRow
from gossipnode.core.session.tree import Leaf, SlotDigest, Tree, make_tree, slot_sha
from gossipnode.store.interface import (
    DamagedRecords,
    DiskState,
    IndexHit,
    IndexRows,
    IndexState,
    LeafDigest,
    ShardCounts,
    StoreClosedError,
    StoreError,
    StoreFullError,
    no_index_rows,
)
from gossipnode.store.prepared import (
    INDEXES_PER_SHARD_MAX,
    PreparedRecord,
    check_index,
    no_index,
    prepare_record,
    too_many_indexes,
)


@dataclass(slots=True)
class _WantedIndex:
    """An index of a tag. It has no rows: each call of `find` makes them from the records."""

    ready: bool
    reached: Entity | None = None
    """The last entity that building has taken in."""


@dataclass(slots=True)
class _Shard:
    """What is held of a shard."""

    records: dict[Entity, Record] = field(default_factory=dict[Entity, Record])
    shas: dict[Entity, tuple[Version, str]] = field(default_factory=dict[Entity, tuple[Version, str]])
    """Leaf digests, each with the version that it was computed from."""
    slots: dict[int, str] = field(default_factory=dict[int, str])
    """Digests of slots, without those that a write has made stale."""
    indexes: dict[str, _WantedIndex] = field(default_factory=dict[str, _WantedIndex])

    def ordered(self) -> list[Record]:
        return sorted(self.records.values(), key=lambda record: record.entity)


class MemoryStore:
    """Implements `Store`. A test can also make it crash, open it again, or fill its disk."""

    def __init__(
        self,
        *,
        leaf_digest: LeafDigest,
        index_rows: IndexRows = no_index_rows,
        commit_seconds: float = 0.0,
    ) -> None:
        self._leaf_digest = leaf_digest
        self._index_rows = index_rows
        self.commit_seconds = commit_seconds
        self._shards: dict[ShardId, _Shard] = {}
        self._notes: dict[str, bytes] = {}
        self._stamp = 0
        self._full = False
        self.disk_changed = ChangeEvent()
        self._closed = False
        self._crashed = trio.Event()
        self._writing = 0
        self._ended = ChangeEvent()

    def crash(self) -> None:
        """Lose what is not committed. Calls that wait, and all later calls, raise StoreClosedError."""
        self._closed = True
        self._crashed.set()

    async def wait_failed(self) -> StoreError:
        """See `Store.wait_failed`. This store fails only by a crash."""
        await self._crashed.wait()
        return StoreClosedError("the store has crashed")

    async def close(self) -> None:
        """Refuse further calls, and wait for the writes that have begun."""
        self._closed = True
        with trio.CancelScope(shield=True):
            while self._writing:
                await self._ended.wait()

    def reopen(self, *, leaf_digest: LeafDigest | None = None) -> MemoryStore:
        """The store after a restart. With another `leaf_digest` it has forgotten all digests."""
        store = MemoryStore(
            leaf_digest=leaf_digest or self._leaf_digest,
            index_rows=self._index_rows,
            commit_seconds=self.commit_seconds,
        )
        store._stamp = self._stamp
        store._notes.update(self._notes)
        for shard, held in self._shards.items():
            store._shards[shard] = _Shard(dict(held.records))
            store._shards[shard].indexes = {tag: replace(index) for tag, index in held.indexes.items()}
            if leaf_digest is None:
                store._shards[shard].shas.update(held.shas)
        return store

    def set_full(self, full: bool) -> None:
        """Say whether the disk is full. While it is, writes fail and reads go on."""
        self._full = full
        self.disk_changed.notify()

    async def damaged_records(self, *, limit: int) -> DamagedRecords:
        """See `Store.damaged_records`. Memory does not rot."""
        await self._begin()
        return DamagedRecords(0, ())

    async def damaged_shards(self) -> dict[ShardId, str]:
        """See `Store.damaged_shards`."""
        return {}

    @property
    def disk(self) -> DiskState:
        """See `Store.disk`. Room in memory is not counted."""
        return DiskState(self._full, 0)

    async def write(
        self,
        shard_records: Sequence[tuple[ShardId, Record]],
        *,
        stamp: int = 0,
        doubt_equal: bool = False,
    ) -> list[WriteResult]:
        """See `Store.write`."""
        await self._begin()
        prepared = [prepare_record(shard, record) for shard, record in shard_records]
        await self._commit()
        self._stamp = max(self._stamp, stamp)
        return [self._put(each) for each in prepared]

    async def read(
        self, shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        """See `Store.read`."""
        held = await self._held(shard)
        return [held.records.get(entity) for entity in entities]

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """See `Store.leaves`."""
        held = await self._held(shard)
        leaves = (
            Leaf(slot, record.entity, self._sha(held, record), record.version)
            for record in held.ordered()
            if (after is None or record.entity > after) and slot_of(record.entity) == slot
        )
        return list(islice(leaves, limit))

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """See `Store.scan`."""
        held = await self._held(shard)
        records = [
            record
            for record in held.ordered()
            if (after is None or record.entity > after) and (name is None or record.entity.name == name)
        ]
        return records[:limit]

    async def tree(self, shard: ShardId) -> Tree:
        """See `Store.tree`."""
        held = await self._held(shard)
        stale: dict[int, list[str]] = {}
        for record in held.ordered():
            slot = slot_of(record.entity)
            if slot not in held.slots:
                stale.setdefault(slot, []).append(self._sha(held, record))
        held.slots.update({slot: slot_sha(shas) for slot, shas in stale.items()})
        return make_tree(
            SlotDigest(slot, held.slots[slot]) for slot in range(SLOT_COUNT) if slot in held.slots
        )

    async def counts(self, shard: ShardId) -> ShardCounts:
        """See `Store.counts`."""
        held = await self._held(shard)
        tombstones = sum(record.deleted for record in held.records.values())
        unhashed = sum(not self._hashed(held, record) for record in held.records.values())
        return ShardCounts(len(held.records) - tombstones, tombstones, unhashed)

    async def last_stamp(self) -> int:
        """See `Store.last_stamp`."""
        await self._begin()
        return self._stamp

    async def fill_digests(self, *, limit: int) -> int:
        """See `Store.fill_digests`."""
        await self._begin()
        due = [
            (held, record)
            for held in self._shards.values()
            for record in held.records.values()
            if not self._hashed(held, record)
        ][:limit]
        for held, record in due:
            self._sha(held, record)
        return len(due)

    def shards(self) -> list[ShardId]:
        """See `Store.shards`. Ordered by group, shard and incarnation."""
        self._check_open()
        return sorted(self._shards)

    async def drop(self, shard: ShardId) -> None:
        """See `Store.drop`. Here it is a single step."""
        await self._begin()
        if shard in self._shards:
            await self._commit()
            self._shards.pop(shard, None)

    async def note(self, key: str) -> bytes | None:
        """See `Store.note`."""
        await self._begin()
        return self._notes.get(key)

    async def keep_note(self, key: str, value: bytes | None) -> None:
        """See `Store.keep_note`."""
        await self._begin()
        await self._commit()
        if value is None:
            self._notes.pop(key, None)
        else:
            self._notes[key] = value

    async def want_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.want_index`."""
        check_index(shard, tag)
        if tag in (await self._held(shard)).indexes:
            return
        await self._commit()
        held = self._shards.setdefault(shard, _Shard())
        if tag not in held.indexes and len(held.indexes) >= INDEXES_PER_SHARD_MAX:
            raise too_many_indexes(shard, tag)
        held.indexes.setdefault(tag, _WantedIndex(ready=not held.records))

    async def drop_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.drop_index`."""
        if tag not in (await self._held(shard)).indexes:
            return
        await self._commit()
        held = self._shards.get(shard, _Shard())
        held.indexes.pop(tag, None)
        if not held.records and not held.indexes:
            self._shards.pop(shard, None)

    def indexes(self, shard: ShardId) -> dict[str, IndexState]:
        """See `Store.indexes`. Ordered by tag."""
        self._check_open()
        indexes = sorted(self._shards.get(shard, _Shard()).indexes.items())
        return {tag: IndexState.READY if index.ready else IndexState.BUILDING for tag, index in indexes}

    async def build_indexes(self, *, limit: int) -> int:
        """See `Store.build_indexes`."""
        await self._begin()
        due = [
            (held, index)
            for held in self._shards.values()
            for index in held.indexes.values()
            if not index.ready
        ]
        if due:
            await self._commit()
        taken = 0
        for held, index in due:
            rest = [e for e in sorted(held.records) if index.reached is None or e > index.reached]
            part = rest[: limit - taken]
            index.ready = taken + len(part) < limit
            index.reached = part[-1] if part else index.reached
            taken += len(part)
        return taken

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
        """See `Store.find`."""
        held = await self._held(shard)
        index = held.indexes.get(tag)
        if index is None or not index.ready:
            raise no_index(shard, tag, building=index is not None)
        hits = sorted(
            IndexHit(row.key, record.entity)
            for record in held.records.values()
            for row in self._rows(record, tag)
            if row.kind is kind and low <= row.key <= high
        )
        if descending:
            hits.sort(key=lambda hit: hit.key, reverse=True)
        if after is not None:
            hits = [hit for hit in hits if _comes_after(hit, after, descending=descending)]
        return hits[:limit]

    async def _commit(self) -> None:
        """Let the time of a commit pass. A caller that is cancelled meanwhile still waits for the end."""
        self._writing += 1
        try:
            await self._pass_commit_time()
        finally:
            self._writing -= 1
            self._ended.notify()

    async def _pass_commit_time(self) -> None:
        with trio.move_on_after(self.commit_seconds) as scope:
            scope.shield = True
            await self._crashed.wait()
        await trio.lowlevel.cancel_shielded_checkpoint()
        if self._crashed.is_set():
            raise StoreClosedError("the store has crashed")
        if self._full:
            raise StoreFullError("no space left in memory, as the test has it")

    def _put(self, prepared: PreparedRecord) -> WriteResult:
        shard, record = prepared.shard, prepared.record
        held = self._shards.get(shard)
        current = held.records.get(record.entity) if held else None
        version = current.version if current else None
        if prepared.problem:
            return WriteResult(WriteOutcome.REFUSED, version, prepared.problem)
        if version is not None and record.version <= version:
            return WriteResult(
                WriteOutcome.EQUAL if record.version == version else WriteOutcome.OLDER, version
            )
        held = self._shards.setdefault(shard, _Shard())
        held.records[record.entity] = record
        held.slots.pop(prepared.slot, None)
        return WriteResult(WriteOutcome.STORED, record.version)

    def _rows(self, record: Record, tag: str) -> set[IndexRow]:
        if record.deleted:
            return set()
        try:
            return set(self._index_rows(record.payload, (tag,)))
        except Exception:  # noqa: BLE001 (a payload of a peer that cannot be read has no rows)
            return set()

    def _sha(self, held: _Shard, record: Record) -> str:
        if not self._hashed(held, record):
            sha = self._leaf_digest(record.payload, record.version.delete_time).hex()
            held.shas[record.entity] = (record.version, sha)
        return held.shas[record.entity][1]

    def _hashed(self, held: _Shard, record: Record) -> bool:
        known = held.shas.get(record.entity)
        return known is not None and known[0] == record.version

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check_open()

    async def _held(self, shard: ShardId) -> _Shard:
        await self._begin()
        return self._shards.get(shard) or _Shard()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store is closed")


def _comes_after(hit: IndexHit, after: IndexHit, *, descending: bool) -> bool:
    if hit.key == after.key:
        return hit.entity > after.entity
    return (hit.key < after.key) is descending
