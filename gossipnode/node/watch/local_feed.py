"""The changes of shards that this node holds: what is there, or what came since a commit; then the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.watch.told_change import FeedPage, ToldChange, in_parts
from gossipnode.node.watch.store_news import News, NewsFeed, StoreNews
from gossipnode.node.watch.told_events import told_of
from gossipnode.store.interface import Store

PAGE_CHANGES = 128
PAGE_BYTES = 256 << 10
"""Records that are read and told in one step; a page with a single one may be larger."""

FIRST_PAGE_RECORDS = 8
"""How many records are read first, as long as it is not known how large they are."""

SendPage: TypeAlias = Callable[[FeedPage], Awaitable[None]]


class FeedGapError(Exception):
    """A watch cannot go on from where it stands. The text says why."""


class LocalFeed:
    """The changes of some shards of one group, in the order of this store's commits."""

    def __init__(
        self,
        store: Store,
        news: StoreNews,
        shards: Sequence[ShardId],
        since: int | None,
        mark: int | None = None,
    ) -> None:
        """Tell what came after commit `since`; None: the records as they are come first.

        `mark` is that of the watch's position, see `FeedPosition`; None if it has none.
        """
        self._mark = mark
        self._store = store
        self._news = news
        self._shards = shards
        self._since = since

    async def run(self, send: SendPage) -> None:
        """Send pages until cancelled.

        Raises:
            FeedGapError: the store has not had commit `since`, or has purged tombstones since.
            StoreError: the store cannot be read.
        """
        if self._since is not None and self._since > self._store.commit_number:
            raise FeedGapError(
                f"commit {self._since} is not known here; the last one is {self._store.commit_number}"
            )
        self._mark = self._purged_up_to(self._mark)
        with self._news.listen(self._shards) as news:
            reached = self._store.commit_number if self._since is None else self._since
            if self._since is None:
                for shard in self._shards:
                    await self._send_all(shard, send)
            reached = await self._catch_up(reached, send)
            await send(FeedPage([], reached, ready=True, mark=self._mark))
            await self._follow(news, reached, send)

    async def _follow(self, news: NewsFeed, reached: int, send: SendPage) -> None:
        while True:
            came = await news.take()
            if not came:
                self._mark = self._purged_up_to(self._mark)
                reached = await self._catch_up(reached, send)
                await send(FeedPage([], reached, mark=self._mark or 0))
            for each in came:
                told = _after(each, reached)
                if told:
                    self._mark = max(self._mark or 0, *each.marks.values())
                    reached = max(reached, each.sequence)
                    await self._send(told, reached, send)

    def _purged_up_to(self, known: int | None) -> int:
        """Up to which stamp tombstones of these shards are purged now.

        Raises:
            FeedGapError: that is more than the watch knows: a delete may be forgotten that it was not told.
        """
        mark = max((self._store.retention.marks(shard).mark for shard in self._shards), default=0)
        if known is not None and mark > known:
            raise FeedGapError("tombstones were purged meanwhile")
        return mark

    async def _send_all(self, shard: ShardId, send: SendPage) -> None:
        """Send the records of a shard as they are, in the order of their keys, tombstones included."""
        after: Entity | None = None
        limit = FIRST_PAGE_RECORDS
        while True:
            records = await self._store.scan(shard, after=after, limit=limit)
            await self._send([ToldChange(shard.shard, record, 0) for record in records], 0, send)
            if len(records) < limit:
                return
            after = records[-1].entity
            average = sum(len(record.payload) for record in records) // len(records) + 1
            limit = max(1, min(PAGE_CHANGES, PAGE_BYTES // average))

    async def _send(self, told: Sequence[ToldChange], known: int, send: SendPage) -> None:
        """Send changes in pages of a good size. Only after the last one all is told up to commit `known`."""
        parts = list(in_parts(told, _size, PAGE_BYTES))
        for part in parts:
            if part:
                reached = known if part is parts[-1] else 0
                await send(FeedPage(list(part), reached, mark=self._mark or 0))

    async def _catch_up(self, reached: int, send: SendPage) -> int:
        """Send what came after a commit; gives the commit up to which all is told."""
        ends: list[int] = []
        for shard in self._shards:
            page_end, whole = reached, False
            while not whole:
                page = await self._store.changes.since(shard, page_end, limit=PAGE_CHANGES)
                page_end, whole = page.reached, page.whole
                if page.changes:
                    known = page_end if len(self._shards) == 1 else 0
                    await self._send([told_of(change) for change in page.changes], known, send)
            ends.append(page_end)
        return min(ends, default=reached)


def _after(news: News, reached: int) -> list[ToldChange]:
    """The changes of commits after `reached`, in the order of the commits.

    A commit that has stored something, and was told, may have purged something else.
    """
    found = [
        change
        for told in news.by_shard.values()
        for change in told
        if change.sequence > reached or change.purged
    ]
    if len(news.by_shard) > 1:
        found.sort(key=_sequence)
    return found


def _size(change: ToldChange) -> int:
    return change.size


def _sequence(change: ToldChange) -> int:
    return change.sequence
