"""Apply, delete and get through any node: what is acknowledged, by whom, and what a fault costs."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import Record
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.refusals.request_errors import (
    NotAReplicaError,
    RefusedGroupError,
    TooFewReplicasError,
    UnknownGroupError,
    UnknownLevelError,
)
from gossipnode.sim import Cluster, running
from gossipnode.wire.property.property_edit import read_property
from tests.node.cluster import N1, put, tags_at, versions
from tests.node.support import SECOND, tags_of
from tests.records import entity, prop

MINUTE = 60 * SECOND


def created_at(record: Record) -> int:
    return read_property(record.payload).create_revision


# What a write is


@pytest.mark.slow
async def test_a_merge_joins_tags_and_a_replace_takes_their_place(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        first = await put(cluster, "a", x=1, y=2)
        await trio.sleep(1)
        merged = await put(cluster, "b", y=3, z=4)
        assert tags_of(merged.record) == {"x": 1, "y": 3, "z": 4}
        replaced = await cluster.coordinator("c").apply(prop("n/1", w=5), replace=True)
        assert tags_of(replaced.record) == {"w": 5}
        assert [each.created for each in (first, merged, replaced)] == [True, False, False]
        assert {created_at(each.record) for each in (first, merged, replaced)} == {created_at(first.record)}
        assert [await tags_at(cluster, name) for name in "abc"] == [{"w": 5}] * 3


async def test_a_write_is_stamped_above_whatever_was_read(autojump_clock: object) -> None:
    cluster = Cluster(clock_offsets={"a": 5 * MINUTE, "c": -4 * MINUTE})
    async with running(cluster):
        stamps: list[int] = []
        for round_number, name in enumerate("abcab"):
            await trio.sleep(1)
            applied = await put(cluster, name, at=round_number)
            stamps.append(applied.record.version.mod_revision)
            for other in "abc":
                assert await tags_at(cluster, other) == {"at": round_number}
        assert stamps == sorted(set(stamps))


async def test_a_deleted_record_is_created_again(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        first = await put(cluster, "a", x=1)
        await trio.sleep(1)
        done = await cluster.coordinator("b").delete(N1)
        assert done.tombstone is not None
        assert done.tombstone.version > first.record.version
        assert await tags_at(cluster, "c") is None
        await trio.sleep(1)
        again = await put(cluster, "c", y=1)
        assert again.created
        assert created_at(again.record) == again.record.version.mod_revision
        assert again.record.version > done.tombstone.version
        assert await tags_at(cluster, "a") == {"y": 1}


async def test_a_delete_of_nothing_is_none_and_writes_nothing(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        assert (await cluster.coordinator("a").delete(N1)).tombstone is None
        assert await versions(cluster, N1) == [0, 0, 0]
        await put(cluster, "a", x=1)
        assert (await cluster.coordinator("b").delete(N1)).tombstone is not None
        deleted = await versions(cluster, N1)
        assert (await cluster.coordinator("c").delete(N1)).tombstone is None
        assert await versions(cluster, N1) == deleted


@pytest.mark.slow
async def test_what_cannot_be_asked_is_refused_by_name(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        coordinator = cluster.coordinator("a")
        with pytest.raises(UnknownLevelError, match="local, one, quorum, all"):
            await put(cluster, "a", ack="most", x=1)
        with pytest.raises(UnknownGroupError, match="'other'"):
            await coordinator.apply(prop("n/1", "other"), replace=False)
        with pytest.raises(UnknownGroupError, match="'other'"):
            await coordinator.get(entity("n/1", "other"), ack="quorum")
        with pytest.raises(RefusedGroupError, match="_gossipnode"):
            await coordinator.apply(prop("member/x", "_gossipnode"), replace=False)
        with pytest.raises(RefusedGroupError, match="_gossipnode"):
            await coordinator.delete(entity("member/a", "_gossipnode"))


# Levels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("down", "reached"),
    [
        ("", {"local", "one", "quorum", "all"}),
        ("b", {"local", "one", "quorum"}),
        ("bc", {"local", "one"}),
    ],
)
async def test_each_level_needs_its_number_of_replicas(
    down: str, reached: set[str], autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster:
        for name in down:
            cluster.kill(name)
            await cluster.ended[name].wait()
        for level in ("local", "one", "quorum", "all"):
            if level in reached:
                assert (await put(cluster, "a", ack=level, x=1)).record is not None
                assert await tags_at(cluster, "a", ack=level) is not None
            else:
                with pytest.raises(TooFewReplicasError):
                    await put(cluster, "a", ack=level, x=1)
                with pytest.raises(TooFewReplicasError):
                    await tags_at(cluster, "a", ack=level)


@pytest.mark.slow
async def test_a_group_has_a_level_of_its_own(autojump_clock: object) -> None:
    async with running(Cluster(ack="all")) as cluster:
        assert (await put(cluster, "a", x=1)).acknowledged == 3
        cluster.hang("c")
        with pytest.raises(TooFewReplicasError, match="2 of 3 replicas answered, all needs 3"):
            await put(cluster, "a", x=2)
        assert (await put(cluster, "a", ack="quorum", x=3)).acknowledged == 2


async def test_too_few_says_how_many_of_how_many_and_who_did_not(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.hang("b")
        await cluster.faults.cut(("a", "c"), ("c", "a"))
        began = trio.current_time()
        with pytest.raises(TooFewReplicasError) as caught:
            await put(cluster, "a", x=1)
        assert trio.current_time() - began <= REPLICA_SECONDS
        text = str(caught.value)
        assert text.startswith("sw/0: 1 of 3 replicas answered, quorum needs 2; not: b (")
        assert "c (" in text
        assert await versions(cluster, N1) == [0, 0, 0]


@pytest.mark.slow
async def test_a_write_that_too_few_took_says_so_and_stays(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in "bc":
            cluster.stores[name].set_full(True)
        with pytest.raises(TooFewReplicasError) as caught:
            await put(cluster, "a", x=1)
        assert str(caught.value).startswith("sw/0: 1 of 3 replicas took it, quorum needs 2; not: ")
        assert [bool(version) for version in await versions(cluster, N1)] == [True, False, False]
        for name in "bc":
            cluster.stores[name].set_full(False)
        await cluster.round("b")
        assert len(set(await versions(cluster, N1))) == 1
        assert await tags_at(cluster, "b") == {"x": 1}


@pytest.mark.slow
@pytest.mark.parametrize("full", ["a", "b"])
async def test_a_full_disk_of_one_replica_stops_nobody(full: str, autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.stores[full].set_full(True)
        assert (await put(cluster, "a", x=1)).acknowledged == 2
        with pytest.raises(TooFewReplicasError, match=f"2 of 3 replicas took it, all needs 3; not: {full}"):
            await put(cluster, "a", ack="all", x=2)
        assert await tags_at(cluster, "c") == {"x": 2}
        # A full replica is not avoided: it may have room again.
        cluster.stores[full].set_full(False)
        assert (await put(cluster, "a", ack="all", x=3)).acknowledged == 3


@pytest.mark.slow
async def test_a_node_without_a_copy_coordinates_all_but_local(autojump_clock: object) -> None:
    cluster = Cluster(names=("a", "b", "c", "d", "e"), groups=("sw:1:2",))
    async with running(cluster):
        shards = cluster.nodes["a"].parts.local.shards
        holders = shards.replicas(shards.shard_of(N1))
        outsider = next(name for name in cluster.names if name not in holders)
        applied = await put(cluster, outsider, x=1)
        assert (applied.acknowledged, applied.replicas) == (2, 2)
        for level in ("one", "quorum", "all"):
            assert await tags_at(cluster, outsider, ack=level) == {"x": 1}
        for request in (
            put(cluster, outsider, ack="local", x=2),
            tags_at(cluster, outsider, ack="local"),
            cluster.coordinator(outsider).delete(N1, ack="local"),
        ):
            with pytest.raises(NotAReplicaError, match=f"ask one of {', '.join(holders)}$"):
                await request
        held = await cluster.held_of(N1)
        assert {name for name, record in held.items() if record is not None} == set(holders)


async def test_a_tombstone_of_ours_carries_no_tags(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", ack="all", x=1, y=2)
        assert (await cluster.coordinator("b").delete(N1, ack="all")).tombstone is not None
        held = await cluster.held_of(N1)
        assert [tags_of(record) for record in held.values() if record is not None] == [{}] * 3
        assert await tags_at(cluster, "c") is None
        await put(cluster, "c", z=3)
        assert await tags_at(cluster, "a") == {"z": 3}


async def test_a_foreign_tombstone_is_kept_as_it_is(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        record = (await put(cluster, "a", ack="all", x=1)).record
        version = record.version._replace(delete_time=record.version.mod_revision + 1)
        foreign = Record(record.entity, version, record.payload)
        await cluster.put("a", foreign)
        await cluster.round("a")
        assert set((await cluster.held_of(N1)).values()) == {foreign}
