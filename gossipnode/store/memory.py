"""The store's twin in memory, for tests and simulations: the same promises, kept in the simplest way.

A commit takes `commit_seconds` of Trio's time; a crash loses what is not committed. Not for real data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice, repeat

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.index_key import IndexKind
from gossipnode.core.retention.marks import FROM_CLIENT, Entry
from gossipnode.core.session.tree import Leaf, Tree
from gossipnode.store.follower import NumberedVersion
from gossipnode.store.interface import (
    DamagedRecords,
    DiskState,
    IndexHit,
    IndexRows,
    IndexState,
    LeafDigest,
    ShardCounts,
    ShardSummary,
    StoreClosedError,
    StoreError,
    StoreFullError,
    no_index_rows,
)
from gossipnode.store.memory_changes import MemoryChanges
from gossipnode.store.memory_figures import MemoryFigures
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.memory_index import page_of
from gossipnode.store.memory_indexes import MemoryIndexes
from gossipnode.store.memory_lineages import MemoryLineages
from gossipnode.store.memory_retention import MemoryRetention
from gossipnode.store.memory_shard import HeldShard, unhashed_of
from gossipnode.store.prepared import PreparedRecord, prepare_record, record_damaged


class MemoryStore:
    """Implements `Store`. A test can also make it crash, open it again, or fill its disk."""

    def __init__(
        self,
        *,
        leaf_digest: LeafDigest,
        index_rows: IndexRows = no_index_rows,
        commit_seconds: float = 0.0,
        image: MemoryImage | None = None,
    ) -> None:
        """Open the store over what an earlier one has left in `image`; without one it is empty."""
        self._leaf_digest = leaf_digest
        self.commit_seconds = commit_seconds
        self._image = image or MemoryImage()
        self.changes = MemoryChanges(self._image, self._begin)
        self.lineages = MemoryLineages(self._image, self._begin, self._commit)
        self.figures = MemoryFigures(self._image, self._begin)
        freeing = partial(self._commit, growing=False)
        self.retention = MemoryRetention(self._image, self._begin, freeing, self.changes.purged)
        self._indexes = MemoryIndexes(self._image, self._begin, self._commit, index_rows)
        self._full = False
        self.disk_changed = ChangeEvent()
        self._closed = ""
        self._failure: StoreError | None = None
        self._failed = trio.Event()
        self._writing = 0
        self._ended = ChangeEvent()

    def crash(self) -> None:
        """Lose what is not committed. Calls that wait, and all later calls, raise StoreClosedError."""
        self._fail(StoreClosedError("the store has crashed"), "the store has crashed")

    async def wait_failed(self) -> StoreError:
        """See `Store.wait_failed`. This store fails only if it is made to."""
        await self._failed.wait()
        assert self._failure is not None
        return self._failure

    async def close(self) -> None:
        """Refuse further calls, and wait for the writes that have begun."""
        self._closed = self._closed or "the store is closed"
        with trio.CancelScope(shield=True):
            while self._writing:
                await self._ended.wait()

    def reopen(self, *, leaf_digest: LeafDigest | None = None) -> MemoryStore:
        """The store after a restart. With another `leaf_digest` it has forgotten all digests."""
        image = self._image.copy()
        if leaf_digest is not None:
            image.forget_digests()
        return MemoryStore(
            leaf_digest=leaf_digest or self._leaf_digest,
            index_rows=self._indexes.index_rows,
            commit_seconds=self.commit_seconds,
            image=image,
        )

    def set_full(self, full: bool) -> None:
        """Say whether the disk is full. While it is, writes fail and reads go on."""
        self._full = full
        self.disk_changed.notify()

    async def damaged_records(self, *, limit: int) -> DamagedRecords:
        """See `Store.damaged_records`. Ordered by shard, slot and entity."""
        await self._begin()
        names = [name for _, names in sorted(self._image.aside_names().items()) for name in names]
        return DamagedRecords(len(names), tuple(names[:limit]))

    async def damaged_shards(self) -> dict[ShardId, str]:
        """See `Store.damaged_shards`."""
        await self._begin()
        return {shard: names[0] for shard, names in self._image.aside_names().items()}

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
        lineages: Sequence[bytes] = (),
        arrivals: Sequence[bytes] = (),
        entries: Sequence[Entry] = (),
    ) -> list[WriteResult]:
        """See `Store.write`."""
        self._check_open()
        await trio.lowlevel.checkpoint_if_cancelled()
        ways = entries or repeat(FROM_CLIENT)
        rows = zip(shard_records, lineages or repeat(b""), arrivals or repeat(b""), ways, strict=False)
        prepared = [prepare_record(*each, lineage, how, way) for each, lineage, how, way in rows]
        await self._commit(growing=bool(shard_records))
        self._image.raise_stamp(stamp)
        results = [self._put(each, doubt_equal) for each in prepared]
        for each, result in zip(prepared, results, strict=True):
            taken = result.outcome.taken and each.record.entity in self._image.held(each.shard).records
            if each.lineage and taken:
                self._image.put_lineage(each.shard, each.record.entity, each.lineage)
        outcomes = zip(prepared, results, strict=True)
        stored = [each for each, result in outcomes if result.outcome is WriteOutcome.STORED]
        self._image.count_commit(bool(stored))
        self.changes.stored([(each.shard, each.record.entity) for each in stored])
        return results

    async def read(
        self, shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        """See `Store.read`."""
        held = await self._sound(shard, lambda _: entities)
        if held.aside and not skip_damaged:
            for entity in entities:
                if entity in held.aside:
                    raise record_damaged(entity.text)
        return [held.records.get(entity) for entity in entities]

    async def leaves(
        self, shard: ShardId, slot: int, *, after: Entity | None = None, limit: int
    ) -> list[Leaf]:
        """See `Store.leaves`."""

        def page(held: HeldShard) -> Iterable[Entity]:
            return islice(held.after(after, slot), limit)

        held = await self._sound(shard, lambda held: unhashed_of(held, page(held)))
        return [held.leaf(entity, self._leaf_digest) for entity in page(held)]

    async def scan(
        self, shard: ShardId, *, after: Entity | None = None, limit: int, name: str | None = None
    ) -> list[Record]:
        """See `Store.scan`."""

        def page(held: HeldShard) -> list[Entity]:
            found = (entity for entity in held.after(after) if name is None or entity.name == name)
            return list(islice(found, limit))

        held = await self._sound(shard, page)
        return [held.records[entity] for entity in page(held)]

    async def versions(
        self, shard: ShardId, *, after: Entity | None = None, limit: int
    ) -> list[NumberedVersion]:
        """See `Store.versions`."""

        def page(held: HeldShard) -> list[Entity]:
            return list(islice(held.in_tree_order(after), limit))

        held = await self._sound(shard, page)
        return [held.numbered(entity) for entity in page(held)]

    async def by_number(self, shard: ShardId, numbers: Sequence[int]) -> list[Record | None]:
        """See `Store.by_number`."""
        held = await self._sound(shard, lambda held: held.with_numbers(numbers))
        return [held.by_number(number) for number in numbers]

    async def tree(self, shard: ShardId) -> Tree:
        """See `Store.tree`."""
        held = await self._sound(shard, lambda held: unhashed_of(held, held.order))
        return held.tree(self._leaf_digest)

    async def known_root(self, shard: ShardId) -> str | None:
        """See `Store.known_root`."""
        return (await self._held(shard)).summary(self._leaf_digest).root

    async def counts(self, shard: ShardId) -> ShardCounts:
        """See `Store.counts`."""
        return (await self._held(shard)).counts

    async def summaries(self) -> dict[ShardId, ShardSummary]:
        """See `Store.summaries`."""
        await self._begin()
        return {shard: held.summary(self._leaf_digest) for shard, held in sorted(self._image.shards.items())}

    async def last_stamp(self) -> int:
        """See `Store.last_stamp`."""
        await self._begin()
        return self._image.stamp

    async def fill_digests(self, *, limit: int) -> int:
        """See `Store.fill_digests`. On a full disk no digest can be kept, and 0 is returned."""
        await self._begin()
        kept = 0
        for shard in list(self._image.shards):
            if not self._full and self._image.held(shard).unhashed:
                kept += await self._fill_shard(shard, limit - kept)
        return kept

    async def _fill_shard(self, shard: ShardId, limit: int) -> int:
        held = await self._sound(shard, lambda held: islice(held.unhashed, limit))
        due = list(islice(held.unhashed, limit))
        for entity in due:
            held.leaf(entity, self._leaf_digest)
        return len(due)

    def shards(self) -> list[ShardId]:
        """See `Store.shards`. Ordered by group, shard and incarnation."""
        self._check_open()
        return sorted(self._image.shards)

    async def drop(self, shard: ShardId) -> None:
        """See `Store.drop`. Here it is a single step."""
        await self._begin()
        if shard in self._image.shards or shard in self._image.marks:
            await self._commit(growing=False)
            self._image.drop(shard)
            self.changes.removed(shard)

    async def note(self, key: str) -> bytes | None:
        """See `Store.note`."""
        await self._begin()
        return self._image.notes.get(key)

    async def keep_note(self, key: str, value: bytes | None, *, numbered: bool = True) -> None:
        """See `Store.keep_note`."""
        await self._begin()
        await self._commit(growing=False)
        self._image.keep_note(key, value)
        self._image.count_commit(numbered)

    @property
    def commit_number(self) -> int:
        """See `Store.commit_number`. Each call that stores something is a commit here."""
        return self._image.commits

    async def want_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.want_index`."""
        await self._indexes.want(shard, tag)

    async def drop_index(self, shard: ShardId, tag: str) -> None:
        """See `Store.drop_index`."""
        await self._indexes.drop(shard, tag)

    def indexes(self, shard: ShardId) -> dict[str, IndexState]:
        """See `Store.indexes`. Ordered by tag."""
        self._check_open()
        return self._indexes.states(shard)

    async def build_indexes(self, *, limit: int) -> int:
        """See `Store.build_indexes`."""
        return await self._indexes.build(limit)

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
        hits = await self._indexes.hits(shard, tag, kind)
        return page_of(hits, low, high, after, limit, descending=descending)

    # Commits

    async def _commit(self, *, growing: bool = True) -> None:
        """Let the time of a commit pass; what the caller then changes at once is that commit.

        A caller that is cancelled meanwhile still waits for the end. What is not `growing` is done on a full
        disk too.
        """
        self._writing += 1
        try:
            await self._pass_commit_time()
        finally:
            self._writing -= 1
            if self._closed:
                self._ended.notify()
        if self._full and growing:
            raise StoreFullError("no space left in memory, as the test has it")
        self._image.begin_commit()

    async def _pass_commit_time(self) -> None:
        """Wait as long as a commit takes.

        Raises:
            StoreClosedError: the store has failed, so the commit is lost.
        """
        await self._pass(self.commit_seconds)

    async def _pass(self, seconds: float) -> None:
        if seconds > 0:
            with trio.CancelScope(deadline=trio.current_time() + seconds, shield=True):
                await self._failed.wait()
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
        if self._failure is not None:
            raise StoreClosedError(self._closed)

    def _fail(self, failure: StoreError, said: str) -> None:
        """End the store: every call raises what is `said`."""
        if self._failure is None:
            self._failure = failure
            self._closed = said
            self._failed.set()

    def _put(self, prepared: PreparedRecord, doubt_equal: bool) -> WriteResult:
        """Decide on a record, and hold it if it is newer. A version that was set aside is stored again."""
        shard, record = prepared.shard, prepared.record
        held = self._image.held(shard)
        if prepared.problem:
            current = held.records.get(record.entity)
            return WriteResult(WriteOutcome.REFUSED, current.version if current else None, prepared.problem)
        result, before = held.decided(record, self.retention.marks(shard), prepared.entry)
        if result.outcome is WriteOutcome.EQUAL and doubt_equal and record.entity in held.records:
            held.doubt(record.entity)
        if result.outcome is WriteOutcome.STORED:
            self._store(prepared, before)
        return result

    def _store(self, prepared: PreparedRecord, _before: Version | None) -> None:
        """Hold a record in the place of the version that was there before."""
        self._image.put(prepared.shard, prepared.record, prepared.arrival)

    # Reads

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        self._check_open()

    async def _held(self, shard: ShardId) -> HeldShard:
        await self._begin()
        return self._image.held(shard)

    async def _sound(self, shard: ShardId, read: Callable[[HeldShard], Iterable[Entity]]) -> HeldShard:
        """What is held of a shard, once the rotten records are set aside that reading it meets."""
        held = await self._held(shard)
        while held.rotten and (met := [entity for entity in read(held) if entity in held.rotten]):
            await self._commit(growing=False)
            self._check_open()
            # A write may have replaced it meanwhile.
            if met[0] in self._image.held(shard).rotten:
                self._image.set_aside(shard, met[0])
                self.changes.removed(shard)
            held = self._image.held(shard)
        return held

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._closed)
