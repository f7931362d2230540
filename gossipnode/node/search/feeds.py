"""Where a search takes records from: a scan, a list of keys, or the rows of an index, a page at a time.

Every page is a short read of its own: nothing stays open in the store between two pages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.lookup import KeySpan, Lookup
from gossipnode.core.query.search import Search
from gossipnode.store.interface import IndexHit, Store

SCAN_PAGE_RECORDS = 64
"""Records that one step of a scan reads, over all shards of the search."""

SCAN_PAGE_MIN_RECORDS = 4
"""Records that one step of a scan reads of each shard, however many shards there are."""

INDEX_PAGE_ROWS = 1024
"""Rows of indexes that are in memory while they are merged, over all shards."""

INDEX_PAGE_MIN_ROWS = 8
"""Rows of each index that are in memory, however many indexes are merged."""

INDEX_READ_MAX_ROWS = 256
"""Rows of an index that are read before other tasks get their turn: a millisecond or two."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
ShardRecord: TypeAlias = tuple[ShardId, Record]
"""A record, and the shard that it is kept in."""


class IndexGoneError(Exception):
    """An index that was ready when the search began is no longer there."""


class Target(NamedTuple):
    """The key of a record that may exist. Targets compare by their entities."""

    entity: Entity
    shard: ShardId


class ShardHit(NamedTuple):
    """A row of an index: its key, and the record that it names."""

    key: bytes
    target: Target


class Feed(Protocol[T_co]):
    """Items in an order, a page at a time."""

    async def next_page(self) -> Sequence[T_co] | None:
        """The next page; [] when the feed goes on but has found nothing yet, None at the end."""
        ...


class Reader:
    """Reads from the store, and counts what it reads."""

    def __init__(self, store: Store) -> None:
        """Read from `store`. Nothing has been read yet."""
        self.store = store
        self.rows_read = 0
        """Records whose payload was read."""

    async def scan(self, shard: ShardId, *, after: Entity | None, limit: int, name: str) -> list[Record]:
        """See `Store.scan`."""
        records = await self.store.scan(shard, after=after, limit=limit, name=name or None)
        self.rows_read += len(records)
        return records

    async def read(self, targets: Sequence[Target]) -> list[ShardRecord]:
        """The records that exist, in the order of the targets. No two targets are equal."""
        by_shard: dict[ShardId, list[Entity]] = {}
        for entity, shard in targets:
            by_shard.setdefault(shard, []).append(entity)
        found: dict[Target, Record] = {}
        for shard, entities in by_shard.items():
            for record in await self.store.read(shard, entities, skip_damaged=True):
                if record is not None:
                    found[Target(record.entity, shard)] = record
        self.rows_read += len(found)
        return [(target.shard, found[target]) for target in targets if target in found]

    async def find(
        self,
        shard: ShardId,
        tag: str,
        span: KeySpan,
        *,
        after: IndexHit | None = None,
        descending: bool = False,
        limit: int,
    ) -> list[IndexHit]:
        """See `Store.find`.

        Raises:
            IndexGoneError: the index is not ready any more.
        """
        kind, low, high = span
        try:
            return await self.store.find(
                shard, tag, kind, low, high, after=after, descending=descending, limit=limit
            )
        except LookupError:
            raise IndexGoneError from None


class PageSizes:
    """How much to read at a time: little at first, when little is expected, then twice as much each time."""

    def __init__(self, expected: int, least: int, most: int) -> None:
        """Begin with about `expected` (0: with `most`)."""
        self._most = max(least, most)
        self._next = min(self._most, max(least, expected or most))

    def next(self) -> int:
        """The size of the next page."""
        size = self._next
        self._next = min(2 * size, self._most)
        return size


class ShardScan:
    """All records of a shard, tombstones too, or those of a name."""

    def __init__(
        self, reader: Reader, shard: ShardId, name: str, after: Entity | None, page_records: int
    ) -> None:
        """Start after the record `after`, or at the first one."""
        self._reader = reader
        self._shard = shard
        self._name = name
        self._after = after
        self._page_records = page_records

    async def next_page(self) -> list[ShardRecord] | None:
        """See `Feed`."""
        page = await self._reader.scan(
            self._shard, after=self._after, limit=self._page_records, name=self._name
        )
        if not page:
            return None
        self._after = page[-1].entity
        return [(self._shard, record) for record in page]


class Listed:
    """The records of some targets, as far as they exist."""

    def __init__(self, reader: Reader, targets: Iterable[Target], sizes: PageSizes) -> None:
        """`targets` are in order; they are taken as they are needed."""
        self._reader = reader
        self._targets = iter(targets)
        self._sizes = sizes

    async def next_page(self) -> list[ShardRecord] | None:
        """See `Feed`."""
        part = list(islice(self._targets, self._sizes.next()))
        return await self._reader.read(part) if part else None


class IndexWalk:
    """The rows in one span of a shard's index, in the order of (key, entity); see `Store.find`.

    With a `name`, only the rows of that name. The span has one key then.
    """

    def __init__(
        self,
        reader: Reader,
        shard: ShardId,
        tag: str,
        span: KeySpan,
        sizes: PageSizes,
        *,
        after: IndexHit | None = None,
        descending: bool = False,
        name: str = "",
    ) -> None:
        """Start after the row `after`, or at the first one."""
        self._reader = reader
        self._shard = shard
        self._tag = tag
        self._span = span
        self._sizes = sizes
        self._descending = descending
        self._name = name
        before_name = IndexHit(span.low, Entity(shard.group, name, "")) if name else None
        self._after = max(after, before_name) if after and before_name else after or before_name
        self._ended = False

    async def next_page(self) -> list[ShardHit] | None:
        """See `Feed`."""
        if self._ended:
            return None
        hits = await self._reader.find(
            self._shard,
            self._tag,
            self._span,
            after=self._after,
            descending=self._descending,
            limit=self._sizes.next(),
        )
        self._ended = not hits or bool(self._name and hits[-1].entity.name != self._name)
        if hits:
            self._after = hits[-1]
        page = [
            ShardHit(key, Target(entity, self._shard))
            for key, entity in hits
            if not self._name or entity.name == self._name
        ]
        return None if self._ended and not page else page


class HitRecords:
    """The records that have a row in one of a lookup's spans. Each span has one key."""

    def __init__(
        self, reader: Reader, search: Search, shards: Sequence[ShardId], lookup: Lookup, after: Entity | None
    ) -> None:
        """Start after the record `after`, or at the first one."""
        self._reader = reader
        self._search = search
        feeds = len(shards) * len(lookup.spans)
        walks = [
            IndexWalk(
                reader,
                shard,
                lookup.tag,
                span,
                index_page_sizes(search, feeds),
                after=IndexHit(span.low, after) if after else None,
                name=search.name,
            )
            for shard in shards
            for span in lookup.spans
        ]
        self._rows = MergedFeeds(walks, _target)
        self._targets: list[Target] = []
        self._sizes = record_page_sizes(search)

    async def next_page(self) -> list[ShardRecord] | None:
        """See `Feed`."""
        if not self._targets:
            page = await self._rows.next_page()
            if page is None:
                return None
            # A record can have several of the rows. They are equal in the order, so one page has all of them.
            found = dict.fromkeys(hit.target for hit in page)
            self._targets = [target for target in found if self._search.names(target.entity)]
        size = self._sizes.next() if self._targets else 0
        part, self._targets = self._targets[:size], self._targets[size:]
        return await self._reader.read(part)


def record_page_sizes(search: Search) -> PageSizes:
    """The sizes of pages of records that an index has found."""
    return PageSizes(search.expected, SCAN_PAGE_MIN_RECORDS, SCAN_PAGE_RECORDS)


def index_page_sizes(search: Search, walks: int) -> PageSizes:
    """The sizes of pages of index rows, for each of some walks that are merged."""
    # Twice the share of a walk: often half of the walks, those for elements of arrays, find nothing.
    expected = -(-2 * min(search.expected, INDEX_PAGE_ROWS) // walks)
    return PageSizes(expected, INDEX_PAGE_MIN_ROWS, min(INDEX_READ_MAX_ROWS, INDEX_PAGE_ROWS // walks))


def _target(hit: ShardHit) -> Target:
    return hit.target


class MergedFeeds(Generic[T]):
    """Merges feeds that have the same order. The items come in that order."""

    def __init__(self, feeds: Iterable[Feed[T]], key: Callable[[T], Any]) -> None:
        """`key` gives what an item compares by."""
        self._pages: dict[Feed[T], Sequence[T]] = dict.fromkeys(feeds, ())
        self._key = key

    async def next_page(self) -> list[T] | None:
        """See `Feed`."""
        for feed in [feed for feed, page in self._pages.items() if not page]:
            page = await feed.next_page()
            if page is None:
                del self._pages[feed]
            else:
                self._pages[feed] = page
        if not self._pages:
            return None
        if not all(self._pages.values()):
            # A feed that has found nothing yet may find an item that comes before those of all other feeds.
            return []
        # Only items up to the smallest end of a page can be ordered: the next page of that feed may begin
        # there.
        last = min(self._key(page[-1]) for page in self._pages.values())
        ready: list[T] = []
        for feed, page in self._pages.items():
            at = bisect_right(page, last, key=self._key)
            ready += page[:at]
            self._pages[feed] = page[at:]
        ready.sort(key=self._key)
        return ready
