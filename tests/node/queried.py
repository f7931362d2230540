"""What the tests of queries share: records put straight into stores, and what a query ought to find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
import trio.testing

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.criteria import matches, sort_key
from gossipnode.core.query.query import Query
from gossipnode.node.node import Node
from gossipnode.node.query.queries import Queries
from gossipnode.sim import Cluster
from gossipnode.wire.property.property_edit import read_tags
from tests.records import entity

ALL = ("a", "b", "c")
"""The nodes of a cluster, by default."""


def queries_of(node: Node) -> Queries:
    return node.parts.queries


def shard_of(cluster: Cluster, of: Entity) -> ShardId:
    return next(iter(cluster.nodes.values())).parts.local.shards.shard_of(of)


async def put(cluster: Cluster, names: Iterable[str], *records: Record) -> None:
    """Have these nodes hold versions of records, as if they had come on any path."""
    for name in names:
        await cluster.stores[name].write([(shard_of(cluster, each.entity), each) for each in records])


async def holds(cluster: Cluster, name: str, key: str, group: str = "sw") -> Record | None:
    of = entity(key, group)
    (held,) = await cluster.stores[name].read(shard_of(cluster, of), (of,))
    return held


async def answer(node: Node, query: Query) -> list[Record]:
    """All that a query finds."""
    found: list[Record] = []
    async with queries_of(node).open(query) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += page
    return found


async def keys(node: Node, *groups: str, **options: Any) -> list[str]:
    """The keys that a query finds, without the group where there is one group."""
    found = await answer(node, Query(groups or ("sw",), **options))
    return [one.entity.text if len(groups) > 1 else one.entity.text.partition("/")[2] for one in found]


async def joined(cluster: Cluster, names: Iterable[str], groups: Iterable[str]) -> list[Record]:
    """The newest version of each record that any of these nodes has."""
    newest: dict[Entity, Record] = {}
    for name in names:
        store = cluster.stores[name]
        for shard in store.shards():
            if shard.group in groups:
                for record in await store.scan(shard, limit=1_000_000):
                    held = newest.get(record.entity)
                    if held is None or record.version > held.version:
                        newest[record.entity] = record
    return list(newest.values())


def chosen(records: Iterable[Record], query: Query) -> list[Record]:
    """What a query must find among the newest versions, worked out by a plain filter and sort."""
    order = query.order_by

    def place(record: Record) -> tuple[Any, ...]:
        if not order:
            return (record.entity,)
        return sort_key(read_tags(record.payload), order, record.entity, descending=query.descending)

    newest = {record.entity: record for record in records}
    after = None if query.after is None else newest.get(query.after)
    found = [
        record
        for record in newest.values()
        if not record.deleted
        and record.entity.group in query.groups
        and (not query.name or record.entity.name == query.name)
        and (not query.ids or record.entity.id in query.ids)
        and (query.criteria is None or matches(query.criteria, read_tags(record.payload)))
        and (query.after is None or place(record) > (place(after) if after else (query.after,)))
    ]
    return sorted(found, key=place)[: query.most or None]


async def quiet() -> None:
    """Let what goes on in the background come to its end."""
    await trio.testing.wait_all_tasks_blocked(0.001)


def slow(cluster: Cluster, name: str, seconds: float) -> None:
    """Let every page of a node's store take this time."""
    store = cluster.stores[name]
    scan = store.scan

    async def later(*args: Any, **options: Any) -> Any:
        await trio.sleep(seconds)
        return await scan(*args, **options)

    store.scan = later  # type: ignore[method-assign]
