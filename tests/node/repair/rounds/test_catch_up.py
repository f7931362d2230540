"""A replica that missed writes is made equal as soon as it is back, and nobody has to ask."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.missed_writes import TRY_PAUSE_MAX_SECONDS, MissedWrites
from gossipnode.sim import Cluster, running
from tests.records import prop

SHARD = ShardId("sw", 0)
KEY = "n/1"


def missed_at(cluster: Cluster, name: str) -> MissedWrites:
    return cluster.nodes[name].parts.repair.catch_up.missed_writes


async def write(cluster: Cluster, at: str, count: int, **tags: int) -> None:
    for number in range(count):
        await cluster.coordinator(at).apply(prop(f"n/{number}", **tags), replace=False)


async def keys_of(cluster: Cluster, name: str) -> int:
    return (await cluster.stores[name].counts(SHARD)).records


async def test_a_replica_that_was_cut_off_has_what_it_missed_within_seconds(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await cluster.isolate("c")
        await write(cluster, "a", 50, x=1)
        await trio.sleep(60)
        assert await keys_of(cluster, "c") == 0
        assert missed_at(cluster, "a").count("c", SHARD) == 50
        cluster.faults.heal()
        await trio.sleep(5)
        assert await keys_of(cluster, "c") == 50
        assert len(missed_at(cluster, "a")) == 0


async def test_a_node_that_comes_back_is_equal_after_two_seconds(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster), trio.open_nursery() as nursery:
        cluster.kill("b")
        await cluster.ended["b"].wait()
        await write(cluster, "a", 20, x=1)
        await write(cluster, "c", 20, y=1)
        await trio.sleep(30)
        await cluster.start(nursery, "b")
        await trio.sleep(2)
        assert await keys_of(cluster, "b") == 20
        assert len(missed_at(cluster, "a")) == len(missed_at(cluster, "c")) == 0
        cluster.stop()


async def test_a_coordinator_that_holds_no_copy_starts_a_round(autojump_clock: object) -> None:
    cluster = Cluster("abcd", groups=("sw:1:3",))
    async with running(cluster):
        placement = cluster.nodes["a"].parts.local.shards.placement(SHARD)
        (outside,) = set("abcd") - set(placement.holders)
        away = placement.holders[-1]
        await cluster.isolate(away)
        await write(cluster, outside, 5, x=1)
        assert missed_at(cluster, outside).count(away, SHARD) == 5
        cluster.faults.heal()
        await trio.sleep(20)
        assert await keys_of(cluster, away) == 5
        assert len(missed_at(cluster, outside)) == 0


async def test_a_replica_that_stays_away_costs_nothing(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await cluster.isolate("c")
        await write(cluster, "a", 3, x=1)
        served = len(cluster.nodes["a"].parts.repair.origin.rounds())
        await trio.sleep(600)
        assert missed_at(cluster, "a").count("c", SHARD) == 3
        assert len(cluster.nodes["a"].parts.repair.origin.rounds()) == served


async def test_a_write_that_nobody_took_and_a_read_are_not_noted(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await write(cluster, "a", 1, x=1)
        await cluster.isolate("c")
        with pytest.raises(Exception, match="replicas"):
            await cluster.coordinator("c").apply(prop(KEY, x=2), replace=False)
        assert len(missed_at(cluster, "c")) == 0


async def test_a_group_that_was_deleted_is_forgotten(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        await cluster.isolate("c")
        await write(cluster, "a", 3, x=1)
        catch_up = cluster.nodes["a"].parts.repair.catch_up
        catch_up.missed("b", ShardId("gone", 0))
        catch_up.missed("stranger", SHARD)
        await trio.sleep(5)
        assert missed_at(cluster, "a").count("b", ShardId("gone", 0)) == 0
        assert missed_at(cluster, "a").count("stranger", SHARD) == 0
        assert missed_at(cluster, "a").count("c", SHARD) == 3


async def test_a_replica_whose_disk_was_full_is_made_equal_once_it_has_room(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.stores["c"].set_full(True)
        await write(cluster, "a", 3, x=1)
        await trio.sleep(10)
        assert await keys_of(cluster, "c") == 0
        cluster.stores["c"].set_full(False)
        await trio.sleep(TRY_PAUSE_MAX_SECONDS + 5)
        assert await keys_of(cluster, "c") == 3
        assert len(missed_at(cluster, "a")) == 0
