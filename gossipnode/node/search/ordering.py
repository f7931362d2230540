"""The records of a search in the order of a tag: sorted in passes of bounded memory, or along an index."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import IntArray, StrArray
from gossipnode.core.query.criteria import matches
from gossipnode.core.query.index_key import IndexKind, is_cut, order_key
from gossipnode.core.query.lookup import KeySpan, Lookup, LookupKind
from gossipnode.core.query.search import Place, Search, place_of, tags_needed, walk_key
from gossipnode.node.search.feeds import (
    SCAN_PAGE_RECORDS,
    Feed,
    HitRecords,
    IndexWalk,
    MergedFeeds,
    Reader,
    ShardHit,
    ShardRecord,
    Target,
    index_page_sizes,
    record_page_sizes,
)
from gossipnode.node.search.pace import Pace
from gossipnode.store.interface import IndexHit
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.wire_errors import WireError

QUERY_MAX_BYTES = 16 << 20
"""What an ordered query keeps in memory at most while it sorts."""

QUERY_RECORD_OVERHEAD_BYTES = 1024
"""What a kept record costs beside its payload: its key, its place in the order, the objects that hold it."""

PASS_MIN_RECORDS = 256
"""Records that the first pass keeps, however few are expected."""

PASS_FRESH_RECORDS = 1024
"""Records that a pass takes in before it sorts them in among those that it keeps."""

PASS_GROWTH = 4
"""Each pass keeps this many times the records of the pass before: a caller that needs another wants many."""

ELEMENT_OVERHEAD_BYTES = 64
"""What an element of an array costs in memory."""


class FoundRecord(NamedTuple):
    """A record that was found, the shard that it is kept in, and its place in the order of the search."""

    shard: ShardId
    record: Record
    place: Place


class Judge:
    """Decides which records match a search, and at which place of its order each stands."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._tags = tags_needed(search)
        self._pace = Pace(search.criteria)

    async def found(self, rows: Sequence[ShardRecord]) -> list[FoundRecord]:
        """The records that match, in the order in which they were given."""
        found: list[FoundRecord] = []
        for shard, record in rows:
            place = self._place(record)
            if place is not None:
                found.append(FoundRecord(shard, record, place))
            await self._pace.compared(len(record.payload))
        return found

    def _place(self, record: Record) -> Place | None:
        search = self._search
        if not search.names(record.entity) or (record.deleted and not search.tombstones):
            return None
        criteria = None if record.deleted else search.criteria
        if criteria is None and not search.order_by:
            return Place(record.entity)
        try:
            tags = read_tags(record.payload, self._tags)
        except WireError:
            return None
        if criteria is not None and not matches(criteria, tags):
            return None
        return place_of(record.entity, tags, search.order_by)


class InKeyOrder:
    """The records of a feed that match, in the order of the feed."""

    def __init__(self, rows: Feed[ShardRecord], judge: Judge) -> None:
        self._rows = rows
        self._judge = judge

    async def next_page(self) -> list[FoundRecord] | None:
        """See `Feed`."""
        rows = await self._rows.next_page()
        return None if rows is None else await self._judge.found(rows)


_Keyed: TypeAlias = tuple[tuple[Any, ...], FoundRecord]
_key = itemgetter(0)


class Passes:
    """The records that match, sorted in passes.

    Each pass reads all records, and keeps the first ones that come after those of the pass before. So memory
    does not grow with the number of records, but each further pass costs as much as the first one.
    """

    def __init__(
        self,
        search: Search,
        judge: Judge,
        open_feeds: Callable[[], Sequence[Feed[ShardRecord]]],
        *,
        accept: Callable[[FoundRecord], bool] = lambda found: True,
    ) -> None:
        """`open_feeds` begins a pass. A record that `accept` refuses counts as not found."""
        self._search = search
        self._judge = judge
        self._open_feeds = open_feeds
        self._accept = accept
        self._passed = search.key(search.after) if search.after else None
        """Records up to this key were given by an earlier pass, or are not asked for."""
        self._most = max(PASS_MIN_RECORDS, 2 * search.expected) if search.expected else sys.maxsize
        self._feeds: list[Feed[ShardRecord]] | None = list(open_feeds())
        """The feeds that this pass has still to read; None when no further pass is needed."""
        self._kept: list[_Keyed] = []
        self._fresh: list[_Keyed] = []
        self._bytes = 0
        self._end: tuple[Any, ...] | None = None
        """Records after this key are left to a later pass; None while there are none."""
        self._sorted: deque[FoundRecord] = deque()

    async def next_page(self) -> list[FoundRecord] | None:
        """See `Feed`."""
        if self._sorted:
            return [self._sorted.popleft() for _ in range(min(SCAN_PAGE_RECORDS, len(self._sorted)))]
        if self._feeds is None:
            return None
        if self._feeds:
            rows = await self._feeds[0].next_page()
            if rows is None:
                del self._feeds[0]
            else:
                self._take(await self._judge.found(rows))
        else:
            self._finish_pass()
        return []

    def _take(self, found: Sequence[FoundRecord]) -> None:
        for each in found:
            key = self._search.key(each.place)
            is_early = self._passed is not None and key <= self._passed
            is_later = self._end is not None and key > self._end
            if not is_early and not is_later and self._accept(each):
                self._fresh.append((key, each))
                self._bytes += _bytes_of(each)
        if len(self._fresh) >= PASS_FRESH_RECORDS or self._bytes > QUERY_MAX_BYTES:
            self._sort_in()

    def _sort_in(self) -> None:
        self._kept += self._fresh
        self._fresh = []
        self._kept.sort(key=_key)
        # Well below the bound, or from now on every single page would have to be sorted in.
        most_bytes = QUERY_MAX_BYTES * 3 // 4 if self._bytes > QUERY_MAX_BYTES else QUERY_MAX_BYTES
        while len(self._kept) > 1 and (len(self._kept) > self._most or self._bytes > most_bytes):
            self._bytes -= _bytes_of(self._kept.pop()[1])
            self._end = self._kept[-1][0]

    def _finish_pass(self) -> None:
        self._sort_in()
        self._sorted.extend(found for _, found in self._kept)
        self._feeds = None
        if self._end is not None:
            self._passed = self._kept[-1][0]
            self._most *= PASS_GROWTH
            self._feeds = list(self._open_feeds())
        self._kept, self._bytes, self._end = [], 0, None


def _bytes_of(found: FoundRecord) -> int:
    """What a kept record takes in memory."""
    value = found.place.value
    size = QUERY_RECORD_OVERHEAD_BYTES + len(found.record.payload)
    if isinstance(value, StrArray | IntArray):
        return size + len(found.record.payload) + ELEMENT_OVERHEAD_BYTES * len(value)
    return size + sys.getsizeof(value)


class OrderWalk:
    """The records found along the index of the order tag: those with the tag, then those without it."""

    def __init__(
        self, reader: Reader, search: Search, judge: Judge, within: KeySpan, *, absent_too: bool
    ) -> None:
        """Walk over the values `within` a span; with `absent_too`, the records without the tag follow."""
        self._reader = reader
        self._search = search
        self._judge = judge
        after = search.after
        key = order_key(after.value) if after else b""
        lacks = after.entity if after and not key else None
        self._values = None if lacks else self._merged(within, after, key)
        self._absent = self._records_of(KeySpan(IndexKind.ABSENT, b"", b""), lacks) if absent_too else None
        self._hits: list[ShardHit] = []
        self._sizes = record_page_sizes(search)
        self._cut: Passes | None = None
        self._cut_key = b""

    async def next_page(self) -> list[FoundRecord] | None:
        """See `Feed`."""
        if self._cut is not None:
            page = await self._cut.next_page()
            if page is not None:
                return page
            self._cut = None
        if self._values is not None:
            return await self._with_value(self._values)
        rows = None if self._absent is None else await self._absent.next_page()
        if rows is None:
            return None
        return [found for found in await self._judge.found(rows) if not order_key(found.place.value)]

    def _merged(self, within: KeySpan, after: Place | None, key: bytes) -> MergedFeeds[ShardHit]:
        """The rows that come after the place `after`, whose key is `key`, in the order of the walk."""
        search = self._search
        kind, low, high = within
        last: IndexHit | None = None
        if after and not is_cut(key):
            last = IndexHit(key, after.entity)
        elif after and search.descending:
            high = min(high, key)
        elif after:
            # Rows with one cut key are not in the order of their values, so all of them are read again.
            low = max(low, key)
        walks = [
            IndexWalk(
                self._reader,
                shard,
                search.order_by,
                KeySpan(kind, low, high),
                index_page_sizes(search, len(search.shards)),
                after=last,
                descending=search.descending,
            )
            for shard in search.shards
        ]
        return MergedFeeds(walks, lambda hit: walk_key(hit.key, hit.target.entity, search.descending))

    async def _with_value(self, values: MergedFeeds[ShardHit]) -> list[FoundRecord]:
        if not self._hits:
            page = await values.next_page()
            if page is None:
                self._values = None
                return []
            self._hits = [hit for hit in page if hit.key != self._cut_key]
            if not self._hits:
                return []
        key = self._hits[0].key
        if is_cut(key):
            self._hits = [hit for hit in self._hits if hit.key != key]
            self._cut_key, self._cut = key, self._of_cut_key(key)
            return []
        size = self._sizes.next()
        end = next((at for at, hit in enumerate(self._hits[:size]) if is_cut(hit.key)), size)
        part, self._hits = self._hits[:end], self._hits[end:]
        return await self._read(part)

    async def _read(self, hits: Sequence[ShardHit]) -> list[FoundRecord]:
        """The records of rows whose keys are not cut."""
        keys = {hit.target: hit.key for hit in hits if self._search.names(hit.target.entity)}
        found = await self._judge.found(await self._reader.read(list(keys)))
        # A record whose value is another by now belongs to another place, where it was found or will be. A
        # record that changed while the page was read may have two rows in it. `keys` has it at the place of
        # the first row with the key of the second, so the records must be sorted.
        held = [each for each in found if order_key(each.place.value) == keys[_target_of(each)]]
        return sorted(held, key=lambda each: self._search.key(each.place))

    def _of_cut_key(self, key: bytes) -> Passes:
        """The records whose value has this cut key, in the exact order of their values."""
        return Passes(
            self._search,
            self._judge,
            lambda: [self._records_of(KeySpan(IndexKind.WHOLE, key, key), None)],
            accept=lambda found: order_key(found.place.value) == key,
        )

    def _records_of(self, span: KeySpan, after: Entity | None) -> HitRecords:
        search = self._search
        lookup = Lookup(LookupKind.EQUAL, search.order_by, (span,), "")
        return HitRecords(self._reader, search, search.shards, lookup, after)


def _target_of(found: FoundRecord) -> Target:
    return Target(found.record.entity, found.shard)
