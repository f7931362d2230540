"""Tells watches what this node's store learns, commit by commit.

A watch that does not keep up loses its place in the news, not the changes: it reads them from the store
later, where versions that were overwritten meanwhile are found no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.waker import Waker
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.watch.told_change import ToldChange, purged_change
from gossipnode.node.watch.told_events import told_of
from gossipnode.store.follower import StoredChange
from gossipnode.store.interface import Store

NEWS_MAX_CHANGES = 1024
NEWS_MAX_BYTES = 4 << 20
"""What waits for one watch. One that has more to take reads the store later."""

GATHERED_ABOVE_WATCHES = 32
"""With more watches than this, changes are gathered before they are told."""

GATHERED_SECONDS = 0.1
"""How long, at most. An answer costs a watch nearly the same for one change as for twenty."""


class News(NamedTuple):
    """What one or several commits have stored, by shard."""

    sequence: int
    """The last of these commits."""
    by_shard: dict[ShardId, list[ToldChange]]
    marks: dict[ShardId, int]
    """Up to which stamp tombstones of these shards were purged by then."""
    sizes: dict[ShardId, int]
    """About how many bytes the changes of each shard take in memory."""


class NewsFeed:
    """The news of some shards, for one watch."""

    def __init__(self, shards: Iterable[ShardId]) -> None:
        """Made by `StoreNews.listen`."""
        self.shards = frozenset(shards)
        self.missed = False
        """Whether news was dropped because too much waited: what came is to be read from the store."""
        self._waiting: deque[News] = deque()
        self._changes = self._bytes = 0
        self._taker = Waker()

    def tell(self, news: News) -> None:
        """Keep news until it is taken."""
        mine = {shard: told for shard, told in news.by_shard.items() if shard in self.shards}
        if not mine or self.missed:
            return
        self._changes += sum(map(len, mine.values()))
        self._bytes += sum([news.sizes[shard] for shard in mine])
        if self._changes > NEWS_MAX_CHANGES or self._bytes > NEWS_MAX_BYTES:
            self.missed = True
            self._waiting.clear()
        else:
            whole = len(mine) == len(news.by_shard)
            self._waiting.append(news if whole else news._replace(by_shard=mine))
        self._taker.wake()

    def drop(self) -> None:
        """Say that news was missed, whatever it was."""
        self.missed = True
        self._waiting.clear()
        self._taker.wake()

    async def take(self) -> Sequence[News]:
        """Wait for news; empty if some was missed. From then on the feed has what comes next."""
        while not self._waiting and not self.missed:
            await self._taker.sleep()
        news = list(self._waiting)
        self._waiting.clear()
        self._changes = self._bytes = 0
        if self.missed:
            self.missed = False
            return ()
        return news


class StoreNews:
    """Follows the store, and tells those who listen."""

    def __init__(self, store: Store) -> None:
        """Follow `store`. Nothing is told before `run`."""
        self._store = store
        self._listening: dict[NewsFeed, None] = {}
        self._shards: dict[ShardId, int] = {}
        """How many listen to each shard."""
        self._pending: list[News] = []
        self._came = ChangeEvent()
        self.overlaps = 0
        """Versions that took the place of one that their writer had not seen, since the start."""
        store.changes.follow(self)

    @property
    def watches(self) -> int:
        """How many listen now."""
        return len(self._listening)

    @contextmanager
    def listen(self, shards: Iterable[ShardId]) -> Generator[NewsFeed]:
        """News of these shards, for as long as the block lasts: of every commit that ends after this call."""
        feed = NewsFeed(shards)
        self._count(feed, 1)
        self._listening[feed] = None
        try:
            yield feed
        finally:
            del self._listening[feed]
            self._count(feed, -1)

    def _count(self, feed: NewsFeed, more: int) -> None:
        before = set(self._shards)
        for shard in feed.shards:
            count = self._shards.get(shard, 0) + more
            if count:
                self._shards[shard] = count
            else:
                del self._shards[shard]
        if before != set(self._shards):
            self._store.changes.tell_replaced(self._shards)

    def stored(self, changes: Sequence[StoredChange]) -> None:
        """See `StoreFollower.stored`."""
        by_shard: dict[ShardId, list[ToldChange]] = {}
        for change in changes:
            watched = change.shard in self._shards
            if watched or (change.replaced is not None and change.record.built_upon is not None):
                told = told_of(change)
                self.overlaps += told.overlap
                if watched:
                    by_shard.setdefault(change.shard, []).append(told)
        if by_shard:
            self._tell(changes[0].sequence, by_shard)

    def purged(self, shard: ShardId, entities: Sequence[Entity]) -> None:
        """See `StoreFollower.purged`."""
        if shard in self._shards:
            sequence = self._store.commit_number
            gone = [purged_change(shard.shard, entity, sequence) for entity in entities]
            self._tell(sequence, {shard: gone})

    def _tell(self, sequence: int, by_shard: dict[ShardId, list[ToldChange]]) -> None:
        marks = {shard: self._store.retention.marks(shard).mark for shard in by_shard}
        sizes = {shard: sum([each.size for each in told]) for shard, told in by_shard.items()}
        self._pending.append(News(sequence, by_shard, marks, sizes))
        self._came.notify()

    def removed(self, shard: ShardId | None) -> None:
        """See `StoreFollower.removed`. A shard that is dropped here is watched elsewhere from then on."""

    async def run(self) -> None:
        """Tell what comes, until cancelled."""
        while True:
            came = self._came.pending
            if not self._pending:
                await came.wait()
            if len(self._listening) > GATHERED_ABOVE_WATCHES:
                await trio.sleep(GATHERED_SECONDS)
            self._tell_all()
            await trio.lowlevel.checkpoint()

    def _tell_all(self) -> None:
        pending, self._pending = self._pending, []
        news = pending[0] if len(pending) == 1 else _together(pending)
        for feed in self._listening:
            feed.tell(news)


def _together(pending: Sequence[News]) -> News:
    by_shard: dict[ShardId, list[ToldChange]] = {}
    for news in pending:
        for shard, told in news.by_shard.items():
            by_shard.setdefault(shard, []).extend(told)
    marks: dict[ShardId, int] = {}
    sizes: dict[ShardId, int] = {}
    for news in pending:
        marks |= news.marks
        for shard, size in news.sizes.items():
            sizes[shard] = sizes.get(shard, 0) + size
    return News(pending[-1].sequence, by_shard, marks, sizes)
