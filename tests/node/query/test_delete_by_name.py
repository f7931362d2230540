"""Everything under one name is deleted, and nothing under any other."""

from __future__ import annotations

import pytest

from gossipnode.node.query.delete_by_name import DELETE_PAGE_RECORDS, delete_by_name
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import DELETE
from tests.node.coordinate.bulk.imports import SHARDS, batch, live, run_import
from tests.node.support import Start, all_records
from tests.records import entity, prop


@pytest.mark.slow
async def test_a_delete_of_a_whole_name_leaves_other_names_and_groups(autojump_clock: object) -> None:
    count = DELETE_PAGE_RECORDS + 10
    async with running(Cluster(groups=(SHARDS, "other:1:3"))) as cluster:
        await run_import(cluster, "a", batch(count))
        await cluster.coordinator("a").apply(prop("m/1", x=1), replace=False)
        await cluster.coordinator("a").apply(prop("n/1", "other", x=1), replace=False)
        cluster.kill("c")
        await cluster.ended["c"].wait()
        request = banyandb.DeleteRequest(group="sw", name="n")
        async with cluster.channel("b") as channel:
            assert (await channel.unary(DELETE, request, timeout=30)).deleted
            for number in range(count):
                assert await live(cluster, "a", f"n/{number}") is None
            assert not (await channel.unary(DELETE, request, timeout=30)).deleted
        assert await live(cluster, "a", "m/1") is not None
        assert (await cluster.coordinator("a").get(entity("n/1", "other"))).record is not None


async def test_delete_all_deletes_one_name_over_all_shards(start: Start) -> None:
    alone = await start(groups={"sw": 4})
    for i in range(150):
        await alone.coordinator.apply(prop(f"gone/{i}"), replace=False)
    await alone.coordinator.apply(prop("goner/1"), replace=False)
    await alone.coordinator.delete(entity("gone/7"))
    assert await delete_by_name(alone.queries, alone.bulk, "sw", "gone", "") == 149
    assert await delete_by_name(alone.queries, alone.bulk, "sw", "gone", "") == 0
    live = [key for key, held in (await all_records(alone.local)).items() if not held.deleted]
    assert live == ["goner/1"]
