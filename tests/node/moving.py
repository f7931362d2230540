"""Clusters in memory whose nodes join, are forgotten, crash, and come back with or without their disks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.property_edit import read_tags
from tests.records import entity, prop

LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 240.0
"""The longest that anything may take here, in virtual time."""


async def eventually(look: Callable[[], bool | Awaitable[bool]], what: str = "") -> None:
    """Wait until something holds."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while True:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
            await trio.sleep(LOOK_SECONDS)
    raise AssertionError(f"never came to be: {what or look}")


async def part(cluster: Cluster, name: str, *others: str) -> None:
    """Cut a node off from some other nodes, until `faults.heal`."""
    for other in others:
        await cluster.faults.cut((name, other), (other, name))


def moving_cluster(*args: Any, **options: Any) -> Cluster:
    """A cluster whose nodes may stop by themselves: `errors` then says why."""
    return Cluster(*args, keeps_errors=True, **options)


async def put_one(
    cluster: Cluster, name: str, key: str, value: int, *, group: str = "sw", ack: str = ""
) -> None:
    await cluster.coordinator(name).apply(prop(key, group, k=value), replace=False, ack=ack)


async def value(cluster: Cluster, name: str, key: str, *, group: str = "sw", ack: str = "") -> object:
    got = await cluster.coordinator(name).get(entity(key, group), ack=ack)
    return None if got.record is None else read_tags(got.record.payload)["k"]


def held(cluster: Cluster, name: str) -> list[ShardId]:
    """The shards of which a node has anything."""
    return cluster.stores[name].shards()


def all_settled(cluster: Cluster, members: Iterable[str]) -> bool:
    """Whether every running node sees just these members, and nothing left to be moved."""
    wanted = sorted(members)
    return all(
        list(cluster.view(name).members) == wanted and cluster.view(name).is_settled
        for name in cluster.running
    )


async def settled(cluster: Cluster, members: Iterable[str]) -> None:
    await eventually(lambda: all_settled(cluster, members), f"{list(members)} are settled")


async def settled_but(cluster: Cluster, members: Iterable[str], *, without: str) -> None:
    """As `settled`, except for a node that cannot know."""

    def look() -> bool:
        views = [cluster.view(name) for name in cluster.running if name not in without]
        return all(list(view.members) == sorted(members) and view.is_settled for view in views)

    await eventually(look, f"{list(members)} are settled")


async def tidy(cluster: Cluster) -> None:
    """Wait until no node has records of a shard that it does not hold."""

    def clean() -> bool:
        return all(
            (placement := cluster.view(name).placement(shard)) is not None and name in placement.coming
            for name in cluster.running
            for shard in held(cluster, name)
        )

    await eventually(clean, "old copies are given up")


@asynccontextmanager
async def moving(cluster: Cluster) -> AsyncGenerator[trio.Nursery]:
    """Nodes that run while the block does; those of the configuration are started."""
    async with trio.open_nursery() as nursery, running(cluster):
        yield nursery
        cluster.stop()
