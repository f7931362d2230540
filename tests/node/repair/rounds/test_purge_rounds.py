"""Purge of tombstones in whole clusters: what goes, what holds it back, and that nothing comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.sim import Cluster, running
from tests.records import entity, prop

SHARD = ShardId("sw", 0)
YEAR = 365 * 24 * 3600 * 1_000_000_000
PURGE_SECONDS = 5.0
"""How long a purge round may take after the round that it follows."""


@asynccontextmanager
async def purging(cluster: Cluster) -> AsyncGenerator[trio.Nursery]:
    """A running cluster whose tombstones may go a second after the delete, which a round may take longer."""
    async with running(cluster), trio.open_nursery() as nursery:
        await cluster.parts("a").membership.groups.alter("sw", tombstone_retention_seconds=1)
        yield nursery
        cluster.stop()


async def write(cluster: Cluster, *keys: str, at: str = "a", ack: str = "quorum") -> None:
    for key in keys:
        await cluster.coordinator(at).apply(prop(key, at=1), replace=False, ack=ack)


async def delete(cluster: Cluster, *keys: str, at: str = "a") -> None:
    for key in keys:
        await cluster.coordinator(at).delete(entity(key))


async def purge(cluster: Cluster, origin: str = "a") -> str:
    """A round, and the purge round after it; gives what held the mark back."""
    await trio.sleep(2)
    await cluster.round(origin)
    await trio.sleep(PURGE_SECONDS)
    return cluster.parts(origin).repair.purges.held_back_by(SHARD)


async def held(cluster: Cluster, name: str) -> list[Entity]:
    records = await cluster.stores[name].scan(SHARD, limit=100)
    return [record.entity for record in records]


async def tombstones(cluster: Cluster, names: str = "abc") -> list[int]:
    return [(await cluster.stores[name].counts(SHARD)).tombstones for name in names]


async def all_hold(cluster: Cluster, names: str, keys: Sequence[str]) -> bool:
    return all([await held(cluster, name) == [entity(key) for key in keys] for name in names])


def marks(cluster: Cluster, names: str = "abc") -> set[int]:
    return {cluster.stores[name].retention.marks(SHARD).mark for name in names}


async def test_deleted_records_leave_nothing_once_it_is_proven(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster):
        await write(cluster, "n/1", "n/2", "n/3")
        await delete(cluster, "n/1", "n/3")
        assert await tombstones(cluster) == [2, 2, 2]
        assert await purge(cluster) == ""
        assert await tombstones(cluster) == [0, 0, 0]
        assert await all_hold(cluster, "abc", ["n/2"])
        assert len(marks(cluster)) == 1
        assert marks(cluster) != {0}
        # Another round has nothing to do, and what was deleted can be made again.
        assert (await cluster.round("b")).outcome is RoundOutcome.CONVERGED
        await write(cluster, "n/1", at="b")
        assert await all_hold(cluster, "abc", ["n/1", "n/2"])


async def test_a_round_that_frees_no_tombstone_seals_nothing(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster):
        await write(cluster, "n/1")
        assert await purge(cluster) == ""
        assert all(not store.retention.all_marks() for store in cluster.stores.values())


async def test_a_replica_that_is_away_holds_the_mark_until_it_is_back(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster) as nursery:
        await write(cluster, "n/1")
        await cluster.end("c")
        await delete(cluster, "n/1")
        assert "c: " in await purge(cluster)
        assert await tombstones(cluster, "ab") == [1, 1]
        assert marks(cluster) == {0}
        await cluster.start(nursery, "c")
        await trio.sleep(10)
        assert await purge(cluster) == ""
        assert await tombstones(cluster) == [0, 0, 0]
        assert await all_hold(cluster, "abc", [])


async def test_a_member_that_goes_away_in_mid_purge_holds_the_mark(autojump_clock: object) -> None:
    cluster = Cluster("abcd", groups=("sw:1:3",))
    async with purging(cluster) as nursery:
        holders = cluster.view("a").placement(SHARD)
        assert holders is not None
        (other,) = {*"abcd"} - {*holders.holders}
        first = holders.holders[0]
        await write(cluster, "n/1")
        await delete(cluster, "n/1")
        await cluster.end(other)
        assert f"{other}: " in await purge(cluster, first)
        assert marks(cluster, "".join(holders.holders)) == {0}
        # Somebody who can bring nothing any more holds nothing back.
        await trio.sleep(5)
        await cluster.forget(other, at=first)
        await trio.sleep(5)
        assert await purge(cluster, first) == ""
        assert await tombstones(cluster, "".join(holders.holders)) == [0, 0, 0]
        nursery.cancel_scope.cancel()


async def test_a_replica_that_is_forgotten_holds_the_mark_no_more(autojump_clock: object) -> None:
    cluster = Cluster("abcd", groups=("sw:1:4",))
    async with purging(cluster):
        await write(cluster, "n/1")
        await cluster.end("d")
        await delete(cluster, "n/1")
        assert "d: " in await purge(cluster)
        assert marks(cluster, "abc") == {0}
        await trio.sleep(10)
        await cluster.forget("d")
        await trio.sleep(30)
        assert await purge(cluster) == ""
        assert await tombstones(cluster) == [0, 0, 0]


async def test_a_clock_that_is_a_year_ahead_seals_nothing(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster):
        await write(cluster, "n/1", "n/2")
        await delete(cluster, "n/1")
        cluster.clock_offsets["a"] = YEAR
        assert "one of the clocks is wrong" in await purge(cluster)
        assert marks(cluster) == {0}
        # Nobody has sealed what is still to come, and writes are taken as before.
        assert cluster.stores["a"].retention.marks(SHARD).sealed == 0
        await write(cluster, "n/3", at="b")
        cluster.clock_offsets["a"] = 0
        await write(cluster, "n/4")
        assert await all_hold(cluster, "abc", ["n/1", "n/2", "n/3", "n/4"])
        assert await purge(cluster) == ""
        assert await all_hold(cluster, "abc", ["n/2", "n/3", "n/4"])


async def test_a_late_write_with_an_old_stamp_is_stamped_anew(autojump_clock: object) -> None:
    cluster = Cluster("abcd", groups=("sw:1:3",))
    async with purging(cluster):
        placement = cluster.view("a").placement(SHARD)
        assert placement is not None
        (other,) = {*"abcd"} - {*placement.holders}
        await write(cluster, "n/1")
        await delete(cluster, "n/1")
        assert await purge(cluster, placement.holders[0]) == ""
        (mark,) = marks(cluster, "".join(placement.holders))
        cluster.clock_offsets[other] = -300 * 1_000_000_000
        for ack in ("one", "quorum"):
            await write(cluster, "n/1", at=other, ack=ack)
        (record,) = await cluster.stores[placement.holders[0]].read(SHARD, [entity("n/1")])
        assert record is not None
        assert record.version.stamp > mark


async def test_an_older_copy_of_a_disk_brings_nothing_back(autojump_clock: object) -> None:
    cluster = Cluster()
    async with purging(cluster) as nursery:
        await write(cluster, "n/gone", "n/kept")
        await trio.sleep(2)
        await cluster.end("c")
        older = cluster.stores["c"].reopen()
        await cluster.start(nursery, "c")
        await trio.sleep(2)
        await delete(cluster, "n/gone")
        await write(cluster, "n/later")
        assert await purge(cluster) == ""
        assert await tombstones(cluster) == [0, 0, 0]
        await cluster.end("c")
        cluster.stores["c"] = older
        await cluster.start(nursery, "c")
        await trio.sleep(60)
        assert await all_hold(cluster, "abc", ["n/kept", "n/later"])
        for name in "abc":
            got = await cluster.coordinator(name).get(entity("n/gone"))
            assert got.record is None
        assert (await cluster.round("a")).outcome is RoundOutcome.CONVERGED
        assert len(marks(cluster)) == 1
        assert not cluster.parts("c").local.retention.stale()
