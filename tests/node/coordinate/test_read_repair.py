"""Read repair: stale replicas get the newest version after the read, bounded and counted."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.newest import Stale
from gossipnode.node.coordinate.read_repair import (
    READ_REPAIR_QUEUE_BYTES,
    READ_REPAIR_QUEUE_RECORDS,
    READ_REPAIR_WORKERS,
    ReadRepair,
)
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.sim import Cluster, running
from tests.node.cluster import versions
from tests.records import entity, prop, record

N1 = entity("n/1")
SHARD = ShardId("sw", 0)


def repair_of(cluster: Cluster, name: str) -> ReadRepair:
    return cluster.nodes[name].parts.coordination.read_repair


@pytest.mark.parametrize("reader", ["a", "b", "c"])
@pytest.mark.parametrize("newest_at", ["a", "b", "c"])
async def test_a_read_brings_stale_replicas_up_to_date(
    reader: str, newest_at: str, autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster:
        for name in set("abc") - {newest_at, "c"}:
            await cluster.put(name, record("n/1", k="old", revision=5))
        await cluster.put(newest_at, record("n/1", k="new", revision=6))
        got = await cluster.coordinator(reader).get(N1, ack="all")
        assert got.record == record("n/1", k="new", revision=6)
        await trio.sleep(0.1)
        assert await versions(cluster, N1) == [6, 6, 6]
        assert repair_of(cluster, reader).repaired == 2
        assert repair_of(cluster, reader).dropped == 0
        # They are not written to a second time.
        await cluster.coordinator(reader).get(N1, ack="all")
        await trio.sleep(0.1)
        assert repair_of(cluster, reader).repaired == 2


async def test_a_tombstone_is_written_back_too(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.put("b", record("n/1", revision=5))
        await cluster.put("c", record("n/1", revision=7, delete_time=7))
        assert (await cluster.coordinator("a").get(N1, ack="all")).record is None
        await trio.sleep(0.1)
        assert await versions(cluster, N1) == [7, 7, 7]


async def test_the_reader_does_not_wait_for_it(autojump_clock: object) -> None:
    """The stale replica answers the read, and then hangs."""
    async with running(Cluster()) as cluster:
        await cluster.put("a", record("n/1", k="new", revision=6))
        cluster.faults.hold(("a", "c"))
        await cluster.coordinator("a").get(N1)
        # c has not heard of the read yet: the answer of b was enough.
        cluster.faults.heal()
        began = trio.current_time()
        await cluster.coordinator("a").get(N1)
        assert trio.current_time() == began
        await trio.sleep(0.1)
        assert await versions(cluster, N1) == [6, 6, 6]


async def test_a_replica_that_answers_after_the_reader_has_gone_is_repaired(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in "ab":
            await cluster.put(name, record("n/1", k="new", revision=6))
        cluster.hang("c")
        assert (await cluster.coordinator("a").get(N1)).acknowledged == 2
        await trio.sleep(REPLICA_SECONDS / 2)
        cluster.faults.heal()
        await trio.sleep(0.1)
        assert await versions(cluster, N1) == [6, 6, 6]
        assert repair_of(cluster, "a").repaired == 1


async def test_reads_of_one_replica_alone_repair_nothing(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.put("a", record("n/1", revision=6))
        for level in ("local", "one"):
            assert (await cluster.coordinator("a").get(N1, ack=level)).acknowledged == 1
        await trio.sleep(0.1)
        assert await versions(cluster, N1) == [6, 0, 0]


@pytest.mark.parametrize("request_of", ["apply", "delete"])
async def test_what_a_write_reads_first_is_not_repaired(request_of: str, autojump_clock: object) -> None:
    """The write itself goes to every replica."""
    async with running(Cluster()) as cluster:
        for name in "ab":
            await cluster.put(name, record("n/1", k="new", revision=6))
        if request_of == "apply":
            await cluster.coordinator("a").apply(prop("n/1", x=1), replace=False, ack="all")
        else:
            await cluster.coordinator("a").delete(N1, ack="all")
        await trio.sleep(0.1)
        assert len(set(await versions(cluster, N1))) == 1
        assert (repair_of(cluster, "a").repaired, repair_of(cluster, "a").dropped) == (0, 0)


async def test_a_write_that_came_in_between_is_not_undone(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        newer = record("n/1", k="newer", revision=9)
        await cluster.put("b", newer)
        repair_of(cluster, "a").offer([Stale("b", SHARD, record("n/1", k="new", revision=6))])
        await trio.sleep(0.1)
        assert (await cluster.held_of(N1))["b"] == newer


async def test_what_a_replica_does_not_take_is_counted_as_dropped(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        repair = repair_of(cluster, "a")
        new = record("n/1", k="new", revision=6)
        for name in "ab":
            cluster.stores[name].set_full(True)
        repair.offer(
            [
                Stale("a", SHARD, new),
                Stale("b", SHARD, new),
                Stale("x", SHARD, new),
                Stale("c", ShardId("sw", 0, 7), new),
            ]
        )
        await trio.sleep(1)
        assert (repair.repaired, repair.dropped) == (0, 4)


@pytest.mark.slow
async def test_what_does_not_fit_is_dropped_and_counted(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        repair = repair_of(cluster, "a")
        too_many = 10

        def stale(number: int) -> Stale:
            return Stale("b", SHARD, record(f"n/{number}", revision=6))

        repair.offer(stale(number) for number in range(READ_REPAIR_QUEUE_RECORDS + too_many))
        # The workers wait at the queue, and have taken their first ones from it directly.
        at_once = repair.dropped
        assert too_many - READ_REPAIR_WORKERS <= at_once <= too_many
        await trio.sleep(5)
        assert repair.repaired == READ_REPAIR_QUEUE_RECORDS + too_many - at_once


async def test_one_hanging_replica_does_not_hold_up_the_repair_of_others(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        repair = repair_of(cluster, "a")
        cluster.hang("c")
        hopeless = [Stale("c", SHARD, record(f"n/{number}", revision=6)) for number in range(500)]
        repair.offer([*hopeless, Stale("b", SHARD, record("n/1", revision=6))])
        await trio.sleep(2 * REPLICA_SECONDS)
        assert (await cluster.held_of(N1))["b"] is not None
        assert (repair.repaired, repair.dropped) == (1, 500)


async def test_four_copies_are_written_to_at_once(autojump_clock: object) -> None:
    """However many are stale: clients' requests go to the same replicas."""
    async with running(Cluster()) as cluster:
        repair = repair_of(cluster, "a")
        cluster.stores["b"].commit_seconds = 1.0
        repair.offer(Stale("b", SHARD, record(f"n/{number}", revision=6)) for number in range(10))
        done = []
        await trio.sleep(0.5)
        for _ in range(3):
            await trio.sleep(1)
            done.append(repair.repaired)
        assert done == [4, 8, 10]


@pytest.mark.slow
async def test_the_bytes_that_wait_are_bounded(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        repair = repair_of(cluster, "a")
        large = "x" * (1 << 19)
        fitting = READ_REPAIR_QUEUE_BYTES // len(record("n/1", k=large).payload)
        repair.offer(Stale("b", SHARD, record(f"n/{number}", k=large, revision=6)) for number in range(100))
        assert repair.dropped == 100 - fitting
        await trio.sleep(5)
        assert repair.repaired == fitting
        # There is room again.
        repair.offer([Stale("b", SHARD, record("m/1", k=large, revision=6))])
        await trio.sleep(1)
        assert repair.repaired == fitting + 1
