"""Queries and exports: this node's own records, in a stable order, a page at a time.

A scan reads short pages and yields between them, so that a long query holds up nobody.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple

from gossipnode.core.criteria import Criteria, matches, sort_key
from gossipnode.core.property import Entity, Record, ShardId, check_entity
from gossipnode.node.limits import (
    QUERY_DEFAULT_LIMIT,
    QUERY_MAX_BYTES,
    QUERY_MAX_RECORDS,
    QUERY_RECORD_OVERHEAD_BYTES,
    SCAN_PAGE_MIN_RECORDS,
    SCAN_PAGE_RECORDS,
)
from gossipnode.node.shards import Shards
from gossipnode.wire.errors import WireError
from gossipnode.wire.property_edit import project, read_tags


class QueryTooLargeError(Exception):
    """The answer would take more memory than a query may; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. Empty `name`, `ids` and `select` mean all; limit 0 means the default."""

    groups: tuple[str, ...]
    name: str = ""
    ids: frozenset[str] = frozenset()
    criteria: Criteria | None = None
    select: tuple[str, ...] = ()
    order_by: str = ""
    descending: bool = False
    limit: int = 0
    after: Entity | None = None
    """Only what comes behind this record, in the order of the query."""

    @property
    def most(self) -> int:
        """How many records the answer holds at most."""
        return min(self.limit or QUERY_DEFAULT_LIMIT, QUERY_MAX_RECORDS)


class GroupScan:
    """The records of a group on this node, tombstones included, in entity order over all its shards."""

    def __init__(self, shards: Shards, group: str, *, name: str = "", after: Entity | None = None) -> None:
        """Start behind `after`, or before the first record.

        Raises:
            UnknownGroupError: there is no such group.
        """
        self._shards = shards
        self._name = name or None
        self._pages: dict[ShardId, list[Record]] = {}
        self._after: dict[ShardId, Entity | None] = {
            shard: after for shard in shards.shards_of(group) if shards.holds(shard)
        }
        # A page of each shard is kept at once.
        self._page_records = max(SCAN_PAGE_MIN_RECORDS, SCAN_PAGE_RECORDS // max(1, len(self._after)))

    async def next_page(self) -> list[Record]:
        """Some more records; [] when there are no more."""
        for shard in list(self._after):
            if not self._pages.get(shard):
                await self._read(shard)
        if not self._pages:
            return []
        # What lies behind the end of the shortest page cannot be ordered yet.
        last = min(page[-1].entity for page in self._pages.values())
        ready: list[Record] = []
        for shard, page in list(self._pages.items()):
            at = next((i for i, record in enumerate(page) if record.entity > last), len(page))
            ready += page[:at]
            if at == len(page):
                del self._pages[shard]
            else:
                self._pages[shard] = page[at:]
        ready.sort(key=lambda record: record.entity)
        return ready

    async def _read(self, shard: ShardId) -> None:
        page = await self._shards.store.scan(
            shard, after=self._after[shard], limit=self._page_records, name=self._name
        )
        if page:
            self._pages[shard] = page
            self._after[shard] = page[-1].entity
        else:
            del self._after[shard]


async def run_query(shards: Shards, query: Query) -> AsyncGenerator[Sequence[Record], None]:
    """The live records that a query asks for, in its order, in lists of some, or of none while it searches.

    Raises:
        UnknownGroupError: there is no such group.
        WireError: the record that an ordered answer is to come behind is not there.
        QueryTooLargeError: an ordered answer would take too much memory.
    """
    for group in query.groups:
        shards.shard_count(group)
    async with aclosing(_ordered(shards, query) if query.order_by else _by_key(shards, query)) as pages:
        async for page in pages:
            yield page


async def _by_key(shards: Shards, query: Query) -> AsyncGenerator[Sequence[Record], None]:
    left = query.most
    after = query.after
    for group in sorted(set(query.groups)):
        if after is not None and group < after.group:
            continue
        begin = after if after is not None and group == after.group else None
        async with aclosing(_candidates(shards, query, group, begin)) as pages:
            async for page in pages:
                found = [record for record in page if _wanted(query, record)][:left]
                left -= len(found)
                yield [_projected(query, record) for record in found]
                if left == 0:
                    return


async def _candidates(
    shards: Shards, query: Query, group: str, after: Entity | None = None
) -> AsyncGenerator[list[Record], None]:
    """Pages of records of a group that may be asked for; by key where the query names them."""
    if query.ids and query.name:
        for item in sorted(query.ids):
            entity = Entity(group, query.name, item)
            check_entity(entity)
            if after is not None and entity <= after:
                continue
            shard = shards.shard_of(entity)
            if shards.holds(shard):
                yield [record for record in await shards.store.read(shard, (entity,)) if record is not None]
        return
    scan = GroupScan(shards, group, name=query.name, after=after)
    while page := await scan.next_page():
        yield page


def _wanted(query: Query, record: Record) -> bool:
    if record.deleted or (query.name and record.entity.name != query.name):
        return False
    if query.ids and record.entity.id not in query.ids:
        return False
    return query.criteria is None or matches(query.criteria, read_tags(record.payload))


def _projected(query: Query, record: Record) -> Record:
    if not query.select:
        return record
    return Record(record.entity, record.version, project(record.payload, query.select))


class _Placed(NamedTuple):
    """A record and its place in an order."""

    key: tuple[Any, ...]
    record: Record

    @property
    def bytes(self) -> int:
        return len(self.record.payload) + QUERY_RECORD_OVERHEAD_BYTES


async def _ordered(shards: Shards, query: Query) -> AsyncGenerator[Sequence[Record], None]:
    """The first records in the order of a tag: only about as many as asked for are kept while scanning."""
    behind = await _key_of_after(shards, query)
    kept: list[_Placed] = []
    size = 0
    for group in sorted(set(query.groups)):
        async with aclosing(_candidates(shards, query, group)) as pages:
            async for page in pages:
                placed = [_placed(query, record) for record in page if _wanted(query, record)]
                found = [each for each in placed if behind is None or each.key > behind]
                kept += found
                size += sum(each.bytes for each in found)
                if len(kept) > 2 * query.most or size > QUERY_MAX_BYTES:
                    kept = heapq.nsmallest(query.most, kept, key=_key)
                    size = sum(each.bytes for each in kept)
                if size > QUERY_MAX_BYTES:
                    raise QueryTooLargeError(
                        "the ordered answer is too large: ask for fewer records, or tags"
                    )
                yield ()
    kept.sort(key=_key)
    yield [each.record for each in kept[: query.most]]


def _key(placed: _Placed) -> tuple[Any, ...]:
    return placed.key


def _placed(query: Query, record: Record) -> _Placed:
    return _Placed(_place(query, record), _projected(query, record))


def _place(query: Query, record: Record) -> tuple[Any, ...]:
    tags = read_tags(record.payload, (query.order_by,))
    return sort_key(tags, query.order_by, record.entity, descending=query.descending)


async def _key_of_after(shards: Shards, query: Query) -> tuple[Any, ...] | None:
    """Where an ordered answer goes on: the place of the record it is to come behind."""
    if query.after is None:
        return None
    (record,) = await shards.store.read(shards.shard_of(query.after), (query.after,))
    if record is None:
        raise WireError(
            f"after: there is no record {query.after.text[:80]!r}, and so no place in the order of a tag"
        )
    return _place(query, record)
