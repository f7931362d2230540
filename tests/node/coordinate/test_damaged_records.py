"""A record that is damaged in one replica: the other replicas answer for it, and all else goes on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import RecordDamagedError
from tests.node.cluster import N1, put, tags_at


def damage(cluster: Cluster, name: str, entity: Entity) -> None:
    """Let the store of a node say what it says of a record that it has set aside."""
    store = cluster.stores[name]
    read = store.read

    async def spoilt(
        shard: ShardId, entities: Sequence[Entity], *, skip_damaged: bool = False
    ) -> list[Record | None]:
        if entity in entities and not skip_damaged:
            raise RecordDamagedError(f"record {entity.text} is damaged")
        found = await read(shard, entities)
        return [None if record is not None and record.entity == entity else record for record in found]

    store.read = spoilt  # type: ignore[method-assign]


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
