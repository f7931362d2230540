"""A record that is damaged in one replica: the other replicas answer for it, and all else goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.node.refusals.request_errors import RecordLostError, TooFewReplicasError
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import RecordDamagedError
from tests.node.cluster import N1, put, tags_at
from tests.node.coordinate.bulk.imports import items, run_import
from tests.node.queried import keys, shard_of
from tests.node.queried import put as put_at
from tests.records import prop, record


def damage(cluster: Cluster, name: str, entity: Entity) -> None:
    """Let the store of a node do what it does with a record that it has set aside."""
    store = cluster.stores[name]
    shard = shard_of(cluster, entity)
    read, scan, write = store.read, store.scan, store.write
    aside = {entity}

    async def spoilt(
        shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        if not aside.isdisjoint(entities) and not skip_damaged:
            raise RecordDamagedError(f"record {entity.text} is damaged")
        found = await read(shard, entities)
        return [None if record is not None and record.entity in aside else record for record in found]

    async def sound(shard: ShardId, **options: Any) -> list[Record]:
        return [record for record in await scan(shard, **options) if record.entity not in aside]

    async def written(shard_records: Sequence[tuple[ShardId, Record]], **options: Any) -> list[WriteResult]:
        aside.difference_update(record.entity for _, record in shard_records)
        return await write(shard_records, **options)

    async def damaged_shards() -> dict[ShardId, str]:
        await trio.lowlevel.checkpoint()
        return {shard: entity.text} if aside else {}

    for method in (("read", spoilt), ("scan", sound), ("write", written), ("damaged_shards", damaged_shards)):
        setattr(store, *method)


@pytest.mark.parametrize("asked", ["a", "b"])
async def test_the_other_replicas_answer(autojump_clock: object, asked: str) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", ack="all", x=1)
        damage(cluster, "a", N1)
        assert await tags_at(cluster, asked, ack="quorum") == {"x": 1}
        assert await tags_at(cluster, asked, ack="one") == {"x": 1}
        await put(cluster, asked, ack="quorum", y=2)
        assert await tags_at(cluster, asked) == {"x": 1, "y": 2}


async def test_a_damaged_record_is_an_error_at_its_own_node(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", ack="all", x=1)
        damage(cluster, "a", N1)
        with pytest.raises(RecordDamagedError, match="is damaged"):
            await tags_at(cluster, "a", ack="local")


@pytest.mark.parametrize("asked", ["a", "b"])
@pytest.mark.parametrize("ack", ["one", "quorum"])
@pytest.mark.parametrize("order_by", ["", "x"])
async def test_a_query_does_not_miss_it(autojump_clock: object, asked: str, ack: str, order_by: str) -> None:
    """Two replicas have the record, one of them damaged; it was acknowledged by a quorum."""
    async with running(Cluster()) as cluster:
        await put_at(cluster, "ab", record("n/1", x=1))
        damage(cluster, "a", N1)
        assert await keys(cluster.nodes[asked], ack=ack, order_by=order_by) == ["n/1"]


@pytest.mark.parametrize("ack", ["one", "quorum"])
async def test_a_damaged_copy_is_no_voice_for_nothing(autojump_clock: object, ack: str) -> None:
    """A damaged replica and one that never had the record are left: no quorum can be made of them."""
    async with running(Cluster()) as cluster:
        await put_at(cluster, "ab", record("n/1"))
        damage(cluster, "a", N1)
        cluster.kill("b")
        if ack == "quorum":
            with pytest.raises(TooFewReplicasError, match="record sw/n/1 is damaged here"):
                await keys(cluster.nodes["c"], ack=ack)
        else:
            # One replica is enough, and it says what it has.
            assert await keys(cluster.nodes["a"], ack=ack) == []


async def test_a_query_of_the_own_copy_goes_on_without_it(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", ack="all", x=1)
        await cluster.coordinator("a").apply(prop("n/2"), replace=False, ack="all")
        damage(cluster, "a", N1)
        assert await keys(cluster.nodes["a"], ack="local") == ["n/2"]


@pytest.mark.parametrize("asked", ["a", "b"])
@pytest.mark.parametrize("ack", ["local", "quorum"])
async def test_the_only_copy_is_written_again(autojump_clock: object, asked: str, ack: str) -> None:
    async with running(Cluster("ab", groups=("sw:1:1",))) as cluster:
        await put(cluster, asked, ack="quorum", x=1)
        (holder,) = cluster.nodes["a"].parts.local.shards.placement(shard_of(cluster, N1)).holders
        await cluster.coordinator(asked).apply(prop("n/2"), replace=False)
        damage(cluster, holder, N1)
        with pytest.raises(RecordLostError, match="is damaged"):
            await tags_at(cluster, asked)
        # Nobody has it, so the rest of the shard is served without it.
        assert await keys(cluster.nodes[asked]) == ["n/2"]
        if ack == "local" and asked != holder:
            return
        written = await put(cluster, asked, ack=ack, y=2)
        assert written.created
        assert await tags_at(cluster, asked) == {"y": 2}
        assert await keys(cluster.nodes[asked]) == ["n/1", "n/2"]


async def test_an_import_writes_the_only_copy_again(autojump_clock: object) -> None:
    async with running(Cluster("a", groups=("sw:1:1",))) as cluster:
        await put(cluster, "a", x=1)
        for number in range(2, 6):
            await cluster.coordinator("a").apply(prop(f"n/{number}", x=1), replace=False)
        damage(cluster, "a", N1)
        batch = items(*(prop(f"n/{number}", y=2) for number in range(1, 6)))
        assert await run_import(cluster, "a", batch) == 5
        assert await tags_at(cluster, "a") == {"y": 2}
        assert await keys(cluster.nodes["a"]) == [f"n/{number}" for number in range(1, 6)]


async def test_a_copy_elsewhere_keeps_its_tags(autojump_clock: object) -> None:
    """A record that is damaged in two replicas is merged with what the third one has."""
    async with running(Cluster()) as cluster:
        await put(cluster, "a", ack="all", x=1)
        damage(cluster, "a", N1)
        damage(cluster, "b", N1)
        await put(cluster, "a", ack="quorum", y=2)
        assert await tags_at(cluster, "c", ack="all") == {"x": 1, "y": 2}
