"""Replicas that differ although nobody remembers why: hellos find it, and a session mends it."""

from __future__ import annotations

from itertools import pairwise

import trio

from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.root_differences import STILL_SECONDS, TURN_SECONDS
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS
from gossipnode.sim import Cluster, running
from tests.records import record

FOUND_SECONDS = STILL_SECONDS + 3 * HELLO_MAX_SECONDS
"""A difference is seen by a hello, and again by one that comes at least so much later."""


def sessions(cluster: Cluster) -> int:
    return sum(node.parts.repair.mender.mended for node in cluster.nodes.values())


async def distinct_roots(cluster: Cluster) -> int:
    return len(set((await cluster.roots()).values()))


async def test_a_record_that_one_replica_alone_has_reaches_the_others(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await trio.sleep(60)
        await cluster.put("c", record("n/1", revision=7))
        assert await distinct_roots(cluster) == 2
        await trio.sleep(2 * FOUND_SECONDS)
        assert await distinct_roots(cluster) == 1
        assert sessions(cluster) == 2, "a takes it from c, and then differs from b"
        await trio.sleep(3600)
        assert sessions(cluster) == 2


async def test_the_first_replica_that_is_up_mends_it(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await cluster.put("c", record("n/1", revision=7))
        await cluster.isolate("a")
        await trio.sleep(FOUND_SECONDS + TURN_SECONDS + HELLO_MAX_SECONDS)
        roots = await cluster.roots()
        assert roots["b"] == roots["c"] != roots["a"]


async def test_differences_of_many_shards_are_mended_one_after_the_other(autojump_clock: object) -> None:
    cluster = Cluster(("a", "b"), groups=("sw:20:2",))
    async with running(cluster):
        put = [record(f"n/{number}", revision=7) for number in range(100)]
        shards = [ShardId("sw", shard_of(each.entity, 20)) for each in put]
        assert len({*shards}) == 20
        await cluster.stores["b"].write(list(zip(shards, put, strict=True)))
        mender = cluster.nodes["a"].parts.repair.mender
        mended: list[int] = []
        for _ in range(80):
            mended.append(mender.mended)
            await trio.sleep(1)
        assert mended[-1] == 20
        assert max(later - earlier for earlier, later in pairwise(mended)) <= 2


async def test_shards_that_are_written_to_all_the_time_start_no_sessions(autojump_clock: object) -> None:
    """The roots differ whenever they are compared, and never stay as they are."""
    cluster = Cluster(("a", "b"))
    async with running(cluster):
        for revision in range(120):
            await cluster.put("b", record("n/1", revision=revision + 1))
            await trio.sleep(1)
        assert sessions(cluster) == 0
        await trio.sleep(FOUND_SECONDS)
        assert sessions(cluster) == 1
