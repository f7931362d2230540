"""Where a search takes records from: a scan, a list of keys, or the rows of an index, a page at a time.

Every page is a short read of its own, and nothing is held in the store from one to the next.
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
SCAN_PAGE_MIN_RECORDS = 4
"""Records read from the store in one step of a scan, over all its shards; at least the second of each."""

INDEX_PAGE_ROWS = 1024
INDEX_PAGE_MIN_ROWS = 8
"""Rows of indexes that are held while they are merged, over all shards; at least the second of each."""

INDEX_READ_MAX_ROWS = 256
"""Rows of an index that are read before other tasks get their turn: a millisecond or two."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Row: TypeAlias = tuple[ShardId, Record]


class IndexGoneError(Exception):
    """An index that was ready when the search began is there no more."""


class Target(NamedTuple):
    """A record that may be there. Targets are in the order of their entities."""

    entity: Entity
    shard: ShardId


class Hit(NamedTuple):
    """A row of an index, and the shard that it is of."""

    key: bytes
    target: Target


class Feed(Protocol[T_co]):
    """Things in an order, a page at a time."""

    async def next_page(self) -> Sequence[T_co] | None:
        """Some more; [] when none were found as yet, None at the end."""
        ...


class Reader:
    """The store, and how much was read of it."""

    def __init__(self, store: Store) -> None:
        """Nothing has been read."""
        self.store = store
        self.rows_read = 0
        """Records whose payload was read."""

    async def scan(self, shard: ShardId, *, after: Entity | None, limit: int, name: str) -> list[Record]:
        """See `Store.scan`."""
        records = await self.store.scan(shard, after=after, limit=limit, name=name or None)
        self.rows_read += len(records)
        return records

    async def read(self, targets: Sequence[Target]) -> list[Row]:
        """The records that are there, in the order of the targets, no two of which are equal."""
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
        """Start behind `after`, or before the first record."""
        self._reader = reader
        self._shard = shard
        self._name = name
        self._after = after
        self._page_records = page_records

    async def next_page(self) -> list[Row] | None:
        """See `Feed`."""
        page = await self._reader.scan(
            self._shard, after=self._after, limit=self._page_records, name=self._name
        )
        if not page:
            return None
        self._after = page[-1].entity
        return [(self._shard, record) for record in page]


class Listed:
    """The records of some targets, as far as they are there."""

    def __init__(self, reader: Reader, targets: Iterable[Target], sizes: PageSizes) -> None:
        """`targets` are in order; they are taken as they are needed."""
        self._reader = reader
        self._targets = iter(targets)
        self._sizes = sizes

    async def next_page(self) -> list[Row] | None:
        """See `Feed`."""
        part = list(islice(self._targets, self._sizes.next()))
        return await self._reader.read(part) if part else None


class IndexWalk:
    """The rows in one span of a shard's index, in the order of (key, entity); see `Store.find`.

    With a `name`, of a span with one key, only the rows of that name.
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
        """Start behind `after`, or at the beginning."""
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

    async def next_page(self) -> list[Hit] | None:
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
            Hit(key, Target(entity, self._shard))
            for key, entity in hits
            if not self._name or entity.name == self._name
        ]
        return None if self._ended and not page else page


class HitRecords:
    """The records with a row in a lookup's spans, each of which has one key."""

    def __init__(
        self, reader: Reader, search: Search, shards: Sequence[ShardId], lookup: Lookup, after: Entity | None
    ) -> None:
        """Start behind `after`, or before the first record."""
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
        self._rows = Merge(walks, _target)
        self._targets: list[Target] = []
        self._sizes = record_page_sizes(search)

    async def next_page(self) -> list[Row] | None:
        """See `Feed`."""
        if not self._targets:
            page = await self._rows.next_page()
            if page is None:
                return None
            # A record can have several of the rows. They come in one page of the merge.
            found = dict.fromkeys(hit.target for hit in page)
            self._targets = [target for target in found if self._search.names(target.entity)]
        size = self._sizes.next() if self._targets else 0
        part, self._targets = self._targets[:size], self._targets[size:]
        return await self._reader.read(part)


def record_page_sizes(search: Search) -> PageSizes:
    """For the records that an index has found."""
    return PageSizes(search.expected, SCAN_PAGE_MIN_RECORDS, SCAN_PAGE_RECORDS)


def index_page_sizes(search: Search, walks: int) -> PageSizes:
    """For each of the walks that are merged."""
    # Twice as many: often half of the walks, those for elements, find nothing.
    expected = -(-2 * min(search.expected, INDEX_PAGE_ROWS) // walks)
    return PageSizes(expected, INDEX_PAGE_MIN_ROWS, min(INDEX_READ_MAX_ROWS, INDEX_PAGE_ROWS // walks))


def _target(hit: Hit) -> Target:
    return hit.target


class Merge(Generic[T]):
    """Feeds of one order, in that order."""

    def __init__(self, feeds: Iterable[Feed[T]], key: Callable[[T], Any]) -> None:
        """`key` is what things compare by."""
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
            # What a feed that is still searching comes to may belong before all the others.
            return []
        # What lies behind the end of the shortest page cannot be ordered yet.
        last = min(self._key(page[-1]) for page in self._pages.values())
        ready: list[T] = []
        for feed, page in self._pages.items():
            at = bisect_right(page, last, key=self._key)
            ready += page[:at]
            self._pages[feed] = page[at:]
        ready.sort(key=self._key)
        return ready
