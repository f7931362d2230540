"""The disk of a machine, which outlives the processes on it, and what can go wrong with it.

A process opens the disk as it would open its data directory, and is given a store: the store's twin in memory
with a disk under it. Commits that come while another one is under way are made together after it, in the
order in which they came, as the writer of the real store makes them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.sim.world.disk_store import Commits, DiskStore, OnStored, nothing
from gossipnode.sim.world.shared_digests import Formula, formula_of, remembered
from gossipnode.store.interface import IndexRows, LeafDigest, StoreFullError, StoreLockedError
from gossipnode.store.memory import MemoryStore
from gossipnode.store.memory_image import MemoryImage


@dataclass(frozen=True, slots=True)
class DiskCopy:
    """All that was committed to a disk at one time. May be put back to it, or to another one."""

    image: MemoryImage
    formula: Formula | None


class SimDisk:
    """The disk of one machine. One process at a time has it open."""

    def __init__(self, name: str, rng: random.Random, *, on_stored: OnStored | None = None) -> None:
        """An empty disk. `name` is told in errors; all chance comes from `rng`."""
        self._name = name
        self._rng = rng
        self._on_stored = on_stored
        self._image = MemoryImage(remembers=True)
        self._formula: Formula | None = None
        self._store: DiskStore | None = None
        self._commits = Commits(rng)
        self._full = False

    @property
    def in_use(self) -> bool:
        """Whether a process has it open. It has until its store is closed, or has crashed."""
        return self._store is not None

    # What a process does

    def open(self, digest: LeafDigest, index_rows: IndexRows) -> MemoryStore:
        """Open the disk for a process. Whatever was committed is there.

        Raises:
            StoreLockedError: another process has it open.
            StoreFullError: nothing is there yet, and there is no room to begin.
        """
        if self._store is not None:
            raise StoreLockedError(
                f"the disk of {self._name} is in use by another process: stop that node, or give this one a"
                " data directory of its own"
            )
        if self._full and self._image.is_new:
            raise StoreFullError(f"no space left on the disk of {self._name}")
        formula = formula_of(digest)
        if formula != self._formula:
            self._image.forget_digests()
            self._formula = formula
        self._commits.forget()
        self._store = DiskStore(
            self._name,
            self._image,
            self._commits,
            leaf_digest=remembered(formula),
            index_rows=index_rows,
            on_closed=self._let_go,
            on_stored=self._on_stored,
        )
        self._store.set_full(self._full)
        return self._store

    def crash(self) -> None:
        """The process is gone. What it has not committed is lost, and calls of its store fail.

        Does nothing if no process has the disk open.
        """
        if self._store is not None:
            self._store.crash()

    # How it behaves

    def set_commit_seconds(self, seconds_min: float, seconds_max: float) -> None:
        """How long a commit takes: from now on, each takes a time between these two."""
        assert 0 <= seconds_min <= seconds_max
        self._commits.seconds = seconds_min, seconds_max

    def set_hanging(self, hanging: bool) -> None:
        """Say whether the disk hangs. While it does, neither reads nor commits come to an end."""
        self._commits.hanging = hanging
        self._commits.goes_on.notify()

    def set_full(self, full: bool) -> None:
        """Say whether the disk is full. While it is, writes are refused and reads go on."""
        self._full = full
        if self._store is not None:
            self._store.set_full(full)

    def fail_commits(self, count: int) -> None:
        """Have the next commits fail, as an I/O error makes them. Nothing of them is kept.

        A store ends with the first of them, because the real one can no more be certain of its file. So the
        second one is the first commit of the next process.
        """
        self._commits.failing = count

    def tear_commit(self, on_cut: Callable[[], None] | None = None) -> None:
        """Have the machine crash in the middle of the next commit. Nothing of it is kept.

        `on_cut` is called at that moment, to end the rest of the process: it must not get another turn.
        """
        self._commits.on_cut = on_cut or nothing

    def heal(self) -> None:
        """Be a good disk from now on: there is room, commits take no time, and none fails or is cut off."""
        self.set_full(False)
        self.set_hanging(False)
        self.fail_commits(0)
        self.set_commit_seconds(0.0, 0.0)
        self._commits.take_cut()

    # What happens to what is on it

    def lose_last_commits(self, count: int) -> int:
        """Lose commits that were acknowledged: the power went, and the disk had not written what it said.

        Gives how many are lost. Those before the disk was last copied to, and those longer ago than
        `UNDO_COMMITS_MAX`, are safe.

        Raises:
            ValueError: a process has it open.
        """
        self._check_idle()
        return self._image.take_back(count)

    def flip_bit(self, entity: Entity | None = None) -> Entity | None:
        """Flip one bit of a stored payload: that of an entity, or any. Gives whose; None if no payload fits.

        The next reader of the record sets it aside, as the real store does.
        """
        places = [
            (held, each)
            for _, held in sorted(self._image.shards.items())
            for each in held.order
            if entity in (None, each) and each not in held.rotten and held.records[each].payload
        ]
        if not places:
            return None
        held, found = self._rng.choice(places)
        payload = bytearray(held.records[found].payload)
        payload[self._rng.randrange(len(payload))] ^= 1 << self._rng.randrange(8)
        held.rotten[found] = bytes(payload)
        return found

    def spoil_digest(self, entity: Entity) -> bool:
        """Let the digest that is kept of a record be wrong; gives whether one is kept."""
        return any(held.spoil_digest(entity) for _, held in sorted(self._image.shards.items()))

    def copy(self) -> DiskCopy:
        """A copy of all that is committed now. A process may have the disk open."""
        return DiskCopy(self._image.copy(), self._formula)

    def put_back(self, copy: DiskCopy) -> None:
        """Have what is in a copy, and nothing else. The copy stays as it is.

        Raises:
            ValueError: a process has the disk open.
        """
        self._check_idle()
        self._image = copy.image.copy()
        self._formula = copy.formula

    def wipe(self) -> None:
        """Have nothing any more.

        Raises:
            ValueError: a process has the disk open.
        """
        self._check_idle()
        self._image = MemoryImage(remembers=True)

    # What is on it

    def note(self, key: str) -> bytes | None:
        """What a node has noted there under a key."""
        return self._image.notes.get(key)

    def contents(self) -> dict[ShardId, dict[Entity, Record]]:
        """What is committed, tombstones included. A payload that has rotted is here what it has become."""
        contents: dict[ShardId, dict[Entity, Record]] = {}
        for shard, held in sorted(self._image.shards.items()):
            if held.records:
                contents[shard] = dict(held.records)
                for entity, payload in held.rotten.items():
                    contents[shard][entity] = replace(held.records[entity], payload=payload)
        return contents

    def _let_go(self) -> None:
        self._store = None

    def _check_idle(self) -> None:
        if self._store is not None:
            raise ValueError(f"a process has the disk of {self._name} open")
