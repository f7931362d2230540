"""Imports and deletes of many records through the coordinator, with replicas missing and others writing."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.query.replica_messages import RecordsRead
from gossipnode.node.coordinate.bulk_writes import BATCH_SHARDS_AT_ONCE, BadRecord, ImportedRecord
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.refusals.request_errors import (
    NotAReplicaError,
    RefusedGroupError,
    TooFewReplicasError,
    UnknownLevelError,
)
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import read_property
from gossipnode.wire.services import NODE_IMPORT
from tests.node.cluster import versions
from tests.node.coordinate.bulk.imports import MANY, SHARDS, batch, live, run_import, version_of
from tests.node.support import tags_of
from tests.records import entity, prop, record


async def test_an_import_reaches_all_replicas_of_all_shards(autojump_clock: object) -> None:
    async with running(Cluster(groups=(SHARDS,))) as cluster:
        assert await run_import(cluster, "a", batch()) == MANY
        await trio.sleep(1)
        for number in range(MANY):
            for name in "abc":
                found = await live(cluster, name, f"n/{number}", "local")
                assert tags_of(found) == {"x": number}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["down", "hanging"])
async def test_an_import_at_quorum_does_without_one_replica(fault: str, autojump_clock: object) -> None:
    async with running(Cluster(groups=(SHARDS,))) as cluster:
        if fault == "down":
            cluster.kill("c")
            await cluster.ended["c"].wait()
        else:
            cluster.hang("c")
        began = trio.current_time()
        assert await run_import(cluster, "a", batch()) == MANY
        assert trio.current_time() - began < REPLICA_SECONDS
        for number in range(MANY):
            assert tags_of(await live(cluster, "b", f"n/{number}")) == {"x": number}
        with pytest.raises(TooFewReplicasError, match="2 of 3 replicas answered, all needs 3; not: c"):
            await run_import(cluster, "a", batch(), ack="all")
        for level in ("quorum", "one", "local"):
            assert await run_import(cluster, "b", batch(x=7), ack=level) == MANY
        assert tags_of(await live(cluster, "b", "n/1", "local")) == {"x": 7}


async def test_an_import_replaces_what_is_there_and_keeps_its_create_revision(autojump_clock: object) -> None:
    async with running(Cluster(groups=(SHARDS,))) as cluster:
        first = await cluster.coordinator("a").apply(prop("n/0", old=1), replace=False)
        await cluster.coordinator("a").apply(prop("n/1", old=1), replace=False)
        gone = await cluster.coordinator("a").delete(entity("n/1"))
        assert gone.tombstone is not None
        await trio.sleep(1)
        await run_import(cluster, "b", batch(2))
        kept, again = await live(cluster, "c", "n/0"), await live(cluster, "c", "n/1")
        assert kept is not None
        assert again is not None
        assert tags_of(kept) == {"x": 0}
        assert read_property(kept.payload).create_revision == first.record.version.mod_revision
        assert read_property(again.payload).create_revision == again.version.mod_revision
        assert again.version > gone.tombstone.version


async def test_of_a_record_that_comes_twice_the_last_one_counts(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        twice = [ImportedRecord(prop("n/1", x=1), 0), ImportedRecord(prop("n/1", y=2), 0)]
        assert await run_import(cluster, "a", twice) == 2
        assert tags_of(await live(cluster, "b", "n/1")) == {"y": 2}


@pytest.mark.slow
async def test_newer_versions_that_come_in_meanwhile_are_read_and_replaced(autojump_clock: object) -> None:
    """b writes two of the records between the read and the write of the import."""
    async with running(Cluster(groups=(SHARDS,))) as cluster:
        own = cluster.parts("a").coordination.steps.replicas.own
        read, reads, overtaken = own.read, 0, trio.Event()

        async def read_and_be_overtaken(request: object, **how: bool) -> object:
            nonlocal reads
            reply = await read(request, **how)  # type: ignore[arg-type]
            reads += 1
            if reads == 1:
                await trio.sleep(1)
                for key in ("n/0", f"n/{MANY - 1}"):
                    await cluster.coordinator("b").apply(prop(key, b=1), replace=False)
                overtaken.set()
            # The shards are read at the same time: none of them is written before.
            await overtaken.wait()
            assert isinstance(reply, RecordsRead)
            return reply

        own.read = read_and_be_overtaken  # type: ignore[method-assign, assignment]
        assert await run_import(cluster, "a", batch()) == MANY
        for number in range(MANY):
            for name in "abc":
                assert tags_of(await live(cluster, name, f"n/{number}")) == {"x": number}


async def test_shards_are_written_to_at_the_same_time(autojump_clock: object) -> None:
    """Each is read and then written: one after the other, a batch over many shards would take minutes."""
    async with running(Cluster(groups=(f"sw:{2 * BATCH_SHARDS_AT_ONCE}:3",))) as cluster:
        own = cluster.parts("a").coordination.steps.replicas.own
        read = own.read
        under_way = most = 0

        async def read_slowly(request: object, **how: bool) -> object:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await trio.sleep(1)
            under_way -= 1
            return await read(request, **how)  # type: ignore[arg-type]

        own.read = read_slowly  # type: ignore[method-assign, assignment]
        assert await run_import(cluster, "a", batch(), ack="all") == MANY
    assert most == BATCH_SHARDS_AT_ONCE


@pytest.mark.slow
async def test_imports_at_all_nodes_at_once_end_alike_everywhere(autojump_clock: object) -> None:
    async with running(Cluster(groups=(SHARDS,))) as cluster:
        async with trio.open_nursery() as nursery:
            for value, name in enumerate("abc"):
                nursery.start_soon(run_import, cluster, name, batch(x=value))
        await trio.sleep(1)
        for number in range(MANY):
            assert len(set(await versions(cluster, entity(f"n/{number}")))) == 1


async def test_large_records_go_in_parts(autojump_clock: object) -> None:
    large = "x" * 400_000
    async with running(Cluster()) as cluster:
        records = [ImportedRecord(prop(f"n/{number}", x=large), 0) for number in range(8)]
        for _ in range(2):
            assert await run_import(cluster, "a", records, ack="all") == 8
        for number in range(8):
            assert tags_of(await live(cluster, "c", f"n/{number}", "local")) == {"x": large}


async def test_a_bad_record_is_named_and_nothing_of_its_batch_is_written(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        bulk = cluster.parts("a").coordination.bulk
        for bad, problem in (
            (ImportedRecord(b"\xff", 0), "property"),
            (ImportedRecord(prop("n/1", "other", x=1), 0), "metadata.group"),
            (ImportedRecord(prop("n/1", x=1), 5), "delete_time"),
        ):
            found = await bulk.prepare_import("sw", [*batch(2), bad], keep_versions=False)
            assert isinstance(found, BadRecord)
            assert found.position == 2
            assert problem in found.problem
        assert await versions(cluster, entity("n/0")) == [0, 0, 0]
        # No record stays locked afterwards.
        await run_import(cluster, "a", batch(2))
        with pytest.raises(RefusedGroupError):
            await bulk.prepare_import("_gossipnode", [], keep_versions=False)
        with pytest.raises(UnknownLevelError):
            await bulk.prepare_import("sw", [], keep_versions=False, ack="most")


# With versions kept


async def test_with_versions_kept_only_the_node_asked_is_written_to(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await cluster.put("a", record("n/2", k="newer", revision=9))
        kept = [version_of("n/1", 5), version_of("n/2", 5), version_of("n/3", 6, delete_time=7)]
        assert await run_import(cluster, "a", kept, keep_versions=True) == 3
        await trio.sleep(1)
        assert await versions(cluster, entity("n/1")) == [5, 0, 0]
        assert await versions(cluster, entity("n/2")) == [9, 0, 0]
        assert await versions(cluster, entity("n/3")) == [6, 0, 0]
        assert (await cluster.held_of(entity("n/3")))["a"] == record("n/3", revision=6, delete_time=7)
        # A round takes the records to the other nodes.
        await cluster.round("b")
        assert await versions(cluster, entity("n/1")) == [5, 5, 5]


async def test_with_versions_kept_a_node_without_a_copy_refuses(autojump_clock: object) -> None:
    cluster = Cluster(names=("a", "b", "c", "d"), groups=("sw:1:2",))
    async with running(cluster):
        shards = cluster.nodes["a"].parts.local.shards
        holders = shards.replicas(shards.shard_of(entity("n/1")))
        for name in cluster.names:
            if name in holders:
                assert await run_import(cluster, name, [version_of("n/1", 5)], keep_versions=True) == 1
            else:
                with pytest.raises(NotAReplicaError, match=f"ask one of {', '.join(holders)}$"):
                    await run_import(cluster, name, [version_of("n/1", 5)], keep_versions=True)


# Deletes


async def test_a_delete_of_records_that_are_gone_already_writes_nothing(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await run_import(cluster, "a", batch(2))
        await cluster.coordinator("b").delete(entity("n/0"))
        before = await versions(cluster, entity("n/0"))
        await cluster.parts("c").coordination.bulk.delete_all(
            [entity("n/0"), entity("n/1"), entity("n/2")], AckLevel.QUORUM
        )
        assert await versions(cluster, entity("n/0")) == before
        assert await versions(cluster, entity("n/2")) == [0, 0, 0]
        assert await live(cluster, "a", "n/1") is None


# Through the service


async def test_an_import_that_too_few_replicas_take_is_unavailable(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster, cluster.channel("a") as channel:
        await cluster.isolate("a")
        request = v1.ImportRequest(
            group="sw", records=[v1.Record(property=prop(f"n/{number}", x=1)) for number in range(3)]
        )
        async with channel.stream(NODE_IMPORT, timeout=10) as stream:
            await stream.send(request)
            with pytest.raises(RpcError, match="1 of 3 replicas answered, quorum needs 2") as caught:
                await stream.recv()
        assert caught.value.status is Status.UNAVAILABLE


@pytest.mark.parametrize("asked", ["one record", "many"])
async def test_a_delete_that_finds_a_tombstone_sees_that_a_quorum_has_it(
    asked: str, autojump_clock: object
) -> None:
    """A delete that failed has left it at a alone. Without a, nobody may find the record then."""
    async with running(Cluster()) as cluster:
        for name in "abc":
            await cluster.put(name, record("n/1", x=1, revision=5))
        await cluster.put("a", record("n/1", revision=6, delete_time=6))
        if asked == "many":
            bulk = cluster.parts("a").coordination.bulk
            await bulk.delete_all([entity("n/1")], AckLevel.QUORUM)
        else:
            assert (await cluster.coordinator("a").delete(entity("n/1"))).tombstone is None
        await cluster.isolate("a")
        assert await live(cluster, "b", "n/1") is None
