"""The store that a process has of a simulated disk, and how commits to that disk go."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TypeAlias

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.store.interface import IndexRows, LeafDigest, StoreClosedError, StoreError
from gossipnode.store.memory import MemoryStore
from gossipnode.store.memory_image import MemoryImage
from gossipnode.store.prepared import PreparedRecord

OnStored: TypeAlias = Callable[[ShardId, Version | None, Record], None]
"""Told of each version that a store takes: its shard, the version that it replaces or None, and itself.

Of a record that was found damaged, the version that it had is the one that is replaced.
"""


class Commits:
    """How the next commits go: how long they take, and whether they are made."""

    def __init__(self, rng: random.Random) -> None:
        """They take no time and are made. `rng` draws how long each takes."""
        self._rng = rng
        self.seconds = (0.0, 0.0)
        """The least and the most that one takes."""
        self.failing = 0
        """How many of them fail."""
        self.hanging = False
        """Whether neither reads nor commits come to an end."""
        self.goes_on = ChangeEvent()
        """Tells that the disk no longer hangs, or that the store has ended meanwhile."""
        self.on_cut: Callable[[], None] | None = None
        """What is called in the middle of the next one, if the machine then crashes."""
        self._begins = self._ends = -math.inf

    def begin(self) -> float:
        """How long it takes from now until the commit is made of what is handed in now.

        What is handed in while a commit is under way waits for the next one, and all of it is one commit.
        """
        now = trio.current_time()
        # One that takes no time is never under way.
        if self._begins < now or self._ends == now:
            low, high = self.seconds
            self._begins = max(now, self._ends)
            self._ends = self._begins + (self._rng.uniform(low, high) if high else 0)
        return self._ends - now

    def forget(self) -> None:
        """Wait for no commit that is under way: the process that began it is gone."""
        self._begins = self._ends = -math.inf

    def take_cut(self) -> Callable[[], None] | None:
        """What to call in the middle of this commit, if the machine then crashes."""
        on_cut, self.on_cut = self.on_cut, None
        return on_cut

    def take_failure(self) -> bool:
        """Whether this commit fails."""
        fails = self.failing > 0
        self.failing -= fails
        return fails


class DiskStore(MemoryStore):
    """Made by `SimDisk.open`, over what is on the disk."""

    def __init__(
        self,
        name: str,
        image: MemoryImage,
        commits: Commits,
        *,
        leaf_digest: LeafDigest,
        index_rows: IndexRows,
        on_closed: Callable[[], None],
        on_stored: OnStored | None,
    ) -> None:
        """`on_closed` is called once the store writes no more; `name` is that of the disk."""
        super().__init__(leaf_digest=leaf_digest, index_rows=index_rows, image=image)
        self._name = name
        self._commits = commits
        self._on_closed = on_closed
        self._on_stored = on_stored

    async def close(self) -> None:
        """See `Store.close`. Then another process may have the disk."""
        await super().close()
        self._let_go()

    def crash(self) -> None:
        """See `MemoryStore.crash`. Then another process may have the disk."""
        super().crash()
        self._commits.goes_on.notify()
        self._let_go()

    def _let_go(self) -> None:
        """Say once that the disk is free: another process may have it when this store is closed again."""
        on_closed, self._on_closed = self._on_closed, nothing
        on_closed()

    async def _begin(self) -> None:
        await super()._begin()
        await self._wait_while_hanging()
        self._check_open()

    async def _wait_while_hanging(self) -> None:
        while self._commits.hanging and self._failure is None:
            await self._commits.goes_on.wait()

    async def _pass_commit_time(self) -> None:
        if self._commits.hanging:
            with trio.CancelScope(shield=True):
                await self._wait_while_hanging()
        seconds = self._commits.begin()
        on_cut = self._commits.take_cut()
        if on_cut is not None:
            await self._pass(seconds / 2)
            self.crash()
            on_cut()
            raise StoreClosedError(self._closed)
        await self._pass(seconds)
        if self._commits.take_failure():
            error = f"disk of {self._name}: disk I/O error"
            self._fail(StoreError(error), f"the store has failed: {error}")
            raise StoreClosedError(self._closed)

    def _store(self, prepared: PreparedRecord, before: Version | None) -> None:
        super()._store(prepared, before)
        if self._on_stored is not None:
            self._on_stored(prepared.shard, before, prepared.record)


def nothing() -> None:
    """Do nothing."""
