"""Stores of each kind, what is put into them, and all that a search of them finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.tag_value import StrArray, TagValue
from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, Op
from gossipnode.core.query.index_key import IndexRow, index_rows
from gossipnode.core.query.search import Search
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.node.search.ordering import FoundRecord
from gossipnode.store.interface import IndexState, Store
from gossipnode.store.memory import MemoryStore
from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.property.property_edit import read_tags
from tests.records import record

ONE = (ShardId("sw", 0),)
THREE = (ShardId("sw", 0), ShardId("sw", 1), ShardId("tw", 0))
LONG = "p" * 70

Pause = Callable[[], Awaitable[None]]


def rows_of(payload: bytes, tags: Collection[str]) -> list[IndexRow]:
    return index_rows(read_tags(payload, tags), tags)


@asynccontextmanager
async def open_store(kind: str, directory: Path) -> AsyncIterator[Store]:
    digest = partial(leaf_digest, spacing="none")
    if kind == "memory":
        yield MemoryStore(leaf_digest=digest, index_rows=rows_of)
        return
    async with open_sqlite_store(directory, leaf_digest=digest, dialect="none", index_rows=rows_of) as store:
        yield store


async def write(store: Store, *records: Record, shard: ShardId = ONE[0]) -> None:
    await store.write([(shard, record) for record in records])


async def indexed(store: Store, *tags: str, shards: Sequence[ShardId] = ONE) -> None:
    for shard in shards:
        for tag in tags:
            await store.want_index(shard, tag)
    while await store.build_indexes(limit=1000):
        pass
    for shard in shards:
        assert all(store.indexes(shard)[tag] is IndexState.READY for tag in tags)


async def nothing() -> None:
    await trio.lowlevel.checkpoint()


async def pages_of(
    search: LocalSearch, *, pause: Pause = nothing, most: int | None = None
) -> list[FoundRecord]:
    found: list[FoundRecord] = []
    while (page := await search.next_page()) is not None:
        found += page
        if most is not None and len(found) >= most:
            break
        await pause()
    return found


async def ids(store: Store, search: Search) -> str:
    return " ".join(found.record.entity.id for found in await pages_of(LocalSearch(store, search)))


def condition(name: str, op: Op, value: TagValue) -> Condition:
    return Condition(name, op, value)


def both(*sides: Criteria) -> Criteria:
    whole = sides[0]
    for side in sides[1:]:
        whole = LogicalExpression(LogicalOp.AND, whole, side)
    return whole


async def with_statuses(store: Store, count: int = 300) -> None:
    """Write records of which half are ok and every fiftieth is bad; the tag n counts down."""
    states = ["bad" if i % 50 == 0 else "ok" if i % 2 else "warm" for i in range(count)]
    for shard_number, shard in enumerate(THREE):
        await write(
            store,
            *(
                record(
                    f"n{i % 5 % 3}/{i:04}",
                    group=shard.group,
                    status=states[i],
                    n=count - i,
                    tags=StrArray((f"t{i % 25}",)),
                )
                for i in range(shard_number, count, 3)
            ),
            shard=shard,
        )
