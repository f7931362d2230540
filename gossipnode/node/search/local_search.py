"""A replica's part of a query: the candidates among its own records, in the order of the query.

No limit and no selection of tags is applied here, and a record may have a newer version on another replica:
the coordinator sees to that. There is no snapshot. A record that changes during the search may be found at
both of its places or at neither one, each time as it was when it was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.query.index_key import IndexKind
from gossipnode.core.query.lookup import KEYS_END, KeySpan, Lookup, LookupKind, lookups, wanted_indexes
from gossipnode.core.query.search import Search
from gossipnode.node.search.feeds import (
    INDEX_READ_MAX_ROWS,
    SCAN_PAGE_MIN_RECORDS,
    SCAN_PAGE_RECORDS,
    Feed,
    HitRecords,
    IndexGoneError,
    IndexWalk,
    Listed,
    MergedFeeds,
    PageSizes,
    Reader,
    ShardRecord,
    ShardScan,
    Target,
    record_page_sizes,
)
from gossipnode.node.search.ordering import FoundRecord, InKeyOrder, Judge, OrderWalk, Passes
from gossipnode.store.interface import IndexState, Store

PLAN_PROBED_LOOKUPS = 8
PLAN_PROBE_ROWS = 64
"""Lookups that are tried, and rows that are counted of each, to choose the one with the fewest rows."""

PLAN_RANGE_MAX_ROWS = 4096
"""Rows of a range, over all shards. A range with more rows is not used: it would cost more than a scan."""

PLAN_SORT_MAX_ROWS = 1024
"""Rows of a lookup that are read and sorted where the index of the order could be walked instead."""

PLAN_LISTED_MAX_BYTES = 4 << 20
"""Bytes of the ids in a list of rows, over all shards. A lookup with more is not listed."""

PLAN_WALKS_MAX = 1024
"""Walks along indexes that are merged. A lookup with more keys, over all shards, is not used."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to read all records of some shards that can match."""

    label: str
    shards: int
    feeds: Callable[[Entity | None], Sequence[Feed[ShardRecord]]]
    """Opens feeds in the order of entities, which begin after the given one, or at the first one."""


class LocalSearch:
    """The records of a store that a search is for."""

    def __init__(self, store: Store, search: Search) -> None:
        """Search `store`. Nothing is read yet."""
        self.index = ""
        """The lookup that finds the records, as `status = "ok"`; empty for a scan. Known after a page."""
        self._store = store
        self._reader = Reader(store)
        self._search = search
        self._judge = Judge(search)
        self._lookups = lookups(search)
        self._indexed: Collection[str] = wanted_indexes(search)
        self._feed: Feed[FoundRecord] | None = None
        self._last = search.after

    @property
    def rows_read(self) -> int:
        """Records whose payload was read so far."""
        return self._reader.rows_read

    async def next_page(self) -> Sequence[FoundRecord] | None:
        """The next records in the order of the search; [] when none were found yet, None at the end."""
        try:
            if self._feed is None:
                self._feed = await self._begin()
            page = await self._feed.next_page()
        except IndexGoneError:
            # The index was dropped during the search. A scan goes on after the last record that was found.
            self._indexed = frozenset()
            self._search = replace(self._search, after=self._last)
            self._feed = None
            return []
        if page:
            self._last = page[-1].place
        return page

    async def _begin(self) -> Feed[FoundRecord]:
        search = self._search
        ways: list[_Way] = []
        classes = self._classes()
        can_walk = bool(search.order_by) and all(search.order_by in ready for ready in classes)
        for ready, shards in classes.items():
            way = await (self._few if can_walk else self._way)(shards, ready)
            if way is None:
                return self._walk()
            ways.append(way)
        self.index = _label(ways)
        if search.order_by:
            return Passes(search, self._judge, lambda: [feed for way in ways for feed in way.feeds(None)])
        after = search.after.entity if search.after else None
        rows = MergedFeeds([feed for way in ways for feed in way.feeds(after)], _target)
        return InKeyOrder(rows, self._judge)

    def _classes(self) -> dict[frozenset[str], list[ShardId]]:
        """The shards, grouped by the indexes that they have ready and that can help this search."""
        classes: dict[frozenset[str], list[ShardId]] = {}
        for shard in self._search.shards:
            states = self._store.indexes(shard) if self._indexed else {}
            ready = frozenset(
                tag for tag, state in states.items() if state is IndexState.READY and tag in self._indexed
            )
            classes.setdefault(ready, []).append(shard)
        return classes

    def _walk(self) -> OrderWalk:
        """A walk along the index of the order tag, within the range that the criteria leave of it."""
        search = self._search
        self.index = f"order by {search.order_by}"
        for lookup in self._lookups:
            if lookup.kind is LookupKind.RANGE and lookup.tag == search.order_by:
                self.index += f", {lookup.label}"
                return OrderWalk(self._reader, search, self._judge, lookup.spans[0], absent_too=False)
        everything = KeySpan(IndexKind.WHOLE, b"", KEYS_END)
        return OrderWalk(self._reader, search, self._judge, everything, absent_too=True)

    async def _way(self, shards: Sequence[ShardId], ready: frozenset[str]) -> _Way:
        search = self._search
        if search.by_key:
            return _Way("key", len(shards), partial(self._named, shards))
        lookup = await self._fewest(shards, ready)
        if lookup is not None:
            return _Way(lookup.label, len(shards), partial(self._hits, shards, lookup))
        way = await self._small_range(shards, ready, PLAN_RANGE_MAX_ROWS)
        return way or _Way("", len(shards), partial(self._scans, shards))

    async def _few(self, shards: Sequence[ShardId], ready: frozenset[str]) -> _Way | None:
        """A way that finds few enough records that sorting them costs less than a walk in their order."""
        lookup = await self._fewest(shards, ready)
        if lookup is not None:
            way = await self._small(shards, lookup, PLAN_SORT_MAX_ROWS)
            if way is not None:
                return way
        # A range of the order tag itself is left to the walk, which keeps within it.
        return await self._small_range(shards, ready - {self._search.order_by}, PLAN_SORT_MAX_ROWS)

    async def _fewest(self, shards: Sequence[ShardId], ready: frozenset[str]) -> Lookup | None:
        """The lookup by whole keys that finds the fewest rows, as far as a short count shows."""
        usable = [
            lookup
            for lookup in self._lookups
            if lookup.kind is not LookupKind.RANGE
            and lookup.tag in ready
            and len(lookup.spans) * len(shards) <= PLAN_WALKS_MAX
        ][:PLAN_PROBED_LOOKUPS]
        if len(usable) < 2:
            return usable[0] if usable else None
        counts = [await self._probed(shards, lookup) for lookup in usable]
        return usable[counts.index(min(counts))]

    async def _probed(self, shards: Sequence[ShardId], lookup: Lookup) -> int:
        """How many rows a lookup finds, counted up to `PLAN_PROBE_ROWS`."""
        rows = 0
        for shard in shards:
            for span in lookup.spans:
                left = PLAN_PROBE_ROWS - rows
                if left == 0:
                    return rows
                rows += len(await self._reader.find(shard, lookup.tag, span, limit=left))
        return rows

    async def _small_range(
        self, shards: Sequence[ShardId], ready: frozenset[str], most_rows: int
    ) -> _Way | None:
        ranges = [each for each in self._lookups if each.kind is LookupKind.RANGE and each.tag in ready]
        for lookup in ranges[:PLAN_PROBED_LOOKUPS]:
            way = await self._small(shards, lookup, most_rows)
            if way is not None:
                return way
        return None

    async def _small(self, shards: Sequence[ShardId], lookup: Lookup, most_rows: int) -> _Way | None:
        """List all rows of a lookup; None if these shards have more than their part of `most_rows`."""
        left = most_rows * len(shards) // len(self._search.shards)
        left_bytes = PLAN_LISTED_MAX_BYTES * len(shards) // len(self._search.shards)
        name = "" if lookup.kind is LookupKind.RANGE else self._search.name
        sizes = PageSizes(0, 1, INDEX_READ_MAX_ROWS)
        targets: set[Target] = set()
        for shard in shards:
            for span in lookup.spans:
                walk = IndexWalk(self._reader, shard, lookup.tag, span, sizes, name=name)
                while (page := await walk.next_page()) is not None:
                    found = {hit.target for hit in page if self._search.names(hit.target.entity)}
                    targets |= found
                    left -= len(page)
                    left_bytes -= sum(len(target.entity.id) for target in found)
                    if left < 0 or left_bytes < 0:
                        return None
        return _Way(lookup.label, len(shards), partial(self._listed, sorted(targets)))

    # The feeds of each way

    def _named(self, shards: Sequence[ShardId], after: Entity | None) -> Sequence[Feed[ShardRecord]]:
        targets = _named_targets(shards, self._search.name, sorted(self._search.ids), after)
        return [Listed(self._reader, targets, PageSizes(0, 1, SCAN_PAGE_RECORDS))]

    def _hits(
        self, shards: Sequence[ShardId], lookup: Lookup, after: Entity | None
    ) -> Sequence[Feed[ShardRecord]]:
        return [HitRecords(self._reader, self._search, shards, lookup, after)]

    def _listed(self, targets: Sequence[Target], after: Entity | None) -> Sequence[Feed[ShardRecord]]:
        later = (target for target in targets if after is None or target.entity > after)
        return [Listed(self._reader, later, record_page_sizes(self._search))]

    def _scans(self, shards: Sequence[ShardId], after: Entity | None) -> Sequence[Feed[ShardRecord]]:
        # A pass reads one scan after the other. Otherwise they are merged, with a page of each in memory.
        at_once = 1 if self._search.order_by else len(self._search.shards)
        size = max(SCAN_PAGE_MIN_RECORDS, SCAN_PAGE_RECORDS // at_once)
        return [ShardScan(self._reader, shard, self._search.name, after, size) for shard in shards]


def _named_targets(
    shards: Sequence[ShardId], name: str, ids: Sequence[str], after: Entity | None
) -> Iterator[Target]:
    """Each record that is asked for by name and id, in every shard that may have it."""
    by_group: dict[str, list[ShardId]] = {}
    for shard in sorted(shards):
        by_group.setdefault(shard.group, []).append(shard)
    for group, its_shards in by_group.items():
        for each in ids:
            entity = Entity(group, name, each)
            if after is None or entity > after:
                yield from (Target(entity, shard) for shard in its_shards)


def _target(row: ShardRecord) -> Target:
    shard, record = row
    return Target(record.entity, shard)


def _label(ways: Iterable[_Way]) -> str:
    """One label for all ways. That of a scan is empty; beside one, other ways count their shards."""
    shards: Counter[str] = Counter()
    for way in ways:
        shards[way.label] += way.shards
    if len(shards) == 1:
        return next(iter(shards))
    total = shards.total()
    return ", ".join(f"{label} in {count} of {total} shards" for label, count in shards.items() if label)
