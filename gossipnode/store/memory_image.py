"""What a store in memory holds: the part that outlives a process, as the files of a real store do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.store.memory_index import WantedIndex
from gossipnode.store.memory_shard import HeldShard, Kept, KeptChange, by_slot, set_or_remove

UNDO_COMMITS_MAX = 64
"""Commits that an image which remembers them can take back."""


class MemoryImage:
    """Everything that a store in memory holds, as of its last commit."""

    __slots__ = ("_journal", "commits", "marks", "notes", "shards", "stamp")

    def __init__(self, *, remembers: bool = False) -> None:
        """An empty one. One that `remembers` can take back its last commits."""
        self.shards: dict[ShardId, HeldShard] = {}
        self.notes: dict[str, bytes] = {}
        self.marks: dict[ShardId, Marks] = {}
        self.stamp = 0
        self.commits = 0
        """Numbered commits, see `Store.commit_number`."""
        self._journal: deque[list[Callable[[], None]]] | None = (
            deque(maxlen=UNDO_COMMITS_MAX) if remembers else None
        )

    def copy(self) -> MemoryImage:
        """All that is held now, apart from this image. The copy can take back only what comes from now on."""
        other = MemoryImage(remembers=self._journal is not None)
        other.shards = {shard: held.copy() for shard, held in self.shards.items()}
        other.notes = dict(self.notes)
        other.marks = dict(self.marks)
        other.stamp = self.stamp
        other.commits = self.commits
        return other

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever kept here."""
        return not (self.shards or self.notes or self.stamp)

    def forget_digests(self) -> None:
        """See `HeldShard.forget_digests`, for every shard."""
        for held in self.shards.values():
            held.forget_digests()

    def aside_names(self) -> dict[ShardId, list[str]]:
        """The names of records that are set aside, by shard, in the order of its tree."""
        return {
            shard: [entity.text for entity in by_slot(held.aside)]
            for shard, held in self.shards.items()
            if held.aside
        }

    def held(self, shard: ShardId) -> HeldShard:
        """What is held of a shard. If that is nothing, writes to it are lost."""
        return self.shards.get(shard) or HeldShard()

    # Each change is a part of the commit that was begun last.

    def begin_commit(self) -> None:
        """The changes from here on, to the next call, are kept or lost together."""
        if self._journal is not None:
            self._journal.append([])

    def take_back(self, commits: int) -> int:
        """Undo the last commits, as far as they are remembered; gives how many that were."""
        assert self._journal is not None, "an image that does not remember"
        taken = 0
        while taken < commits and self._journal:
            for undo in reversed(self._journal.pop()):
                undo()
            taken += 1
        return taken

    def raise_stamp(self, stamp: int) -> None:
        """Keep the larger stamp."""
        if stamp > self.stamp:
            self._remember(partial(setattr, self, "stamp", self.stamp))
            self.stamp = stamp

    def count_commit(self, numbered: bool) -> None:
        """Give the commit a number, if it is to have one."""
        self._remember(partial(setattr, self, "commits", self.commits))
        self.commits += numbered

    def put(self, shard: ShardId, record: Record, arrival: bytes) -> None:
        """Hold a record, in the place of any other version of it. It belongs to the next numbered commit."""
        held = self.held(shard)
        change = KeptChange(self.commits + 1, arrival, held.records.get(record.entity))
        lineage = held.lineages.get(record.entity)
        self._keep(shard, record.entity, Kept(record, None, lineage, None, change))

    def put_lineage(self, shard: ShardId, entity: Entity, lineage: bytes) -> None:
        """Keep this beside a record that is held."""
        held = self.shards[shard].lineages
        self._remember(partial(self._restore_lineage, shard, entity, held.get(entity)))
        held[entity] = lineage

    def set_aside(self, shard: ShardId, entity: Entity) -> None:
        """Hold a damaged record no more, and remember its version."""
        self._keep(shard, entity, Kept(None, self.shards[shard].records[entity], None, None, None))

    def raise_marks(self, shard: ShardId, marks: Marks) -> None:
        """Keep the larger ones of a shard."""
        known = self.marks.get(shard)
        self._remember(partial(set_or_remove, self.marks, shard, known))
        self.marks[shard] = marks.joined(known or NO_MARKS)

    def remove(self, shard: ShardId, entity: Entity) -> None:
        """Hold a record no more, and nothing of it that was set aside."""
        self._keep(shard, entity, Kept(None, None, None, None, None))

    def drop(self, shard: ShardId) -> None:
        """Hold nothing of a shard any more."""
        self._remember(partial(set_or_remove, self.marks, shard, self.marks.get(shard)))
        self.marks.pop(shard, None)
        held = self.shards.pop(shard, None)
        if held is not None:
            self._remember(partial(self.shards.__setitem__, shard, held))

    def keep_note(self, key: str, value: bytes | None) -> None:
        """Keep a note, or remove it."""
        self._remember(partial(set_or_remove, self.notes, key, self.notes.get(key)))
        set_or_remove(self.notes, key, value)

    def changing_indexes(self, shard: ShardId) -> dict[str, WantedIndex]:
        """The indexes of a shard, to be changed."""
        held = self.shards.setdefault(shard, HeldShard())
        before = {tag: index.copy() for tag, index in held.indexes.items()}
        self._remember(partial(self._restore_indexes, shard, before))
        return held.indexes

    def forget_empty(self, shard: ShardId) -> None:
        """List a shard no more if nothing of it is left."""
        if self.held(shard).is_empty:
            self.shards.pop(shard, None)

    def _keep(self, shard: ShardId, entity: Entity, kept: Kept) -> None:
        held = self.shards.get(shard)
        if held is None:
            held = self.shards[shard] = HeldShard()
        self._remember(partial(self._restore, shard, entity, held.kept(entity)))
        held.keep(entity, kept)

    def _remember(self, undo: Callable[[], None]) -> None:
        if self._journal is not None:
            self._journal[-1].append(undo)

    def _restore(self, shard: ShardId, entity: Entity, kept: Kept) -> None:
        self.shards.setdefault(shard, HeldShard()).keep(entity, kept)
        self.forget_empty(shard)

    def _restore_lineage(self, shard: ShardId, entity: Entity, lineage: bytes | None) -> None:
        set_or_remove(self.shards[shard].lineages, entity, lineage)

    def _restore_indexes(self, shard: ShardId, indexes: dict[str, WantedIndex]) -> None:
        self.shards.setdefault(shard, HeldShard()).indexes = indexes
        self.forget_empty(shard)
