"""Tag indexes over whole nodes: declared or asked for, built in the background, and kept right."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.model.tag_value import TagValue
from gossipnode.core.query.criteria import Condition, Op
from gossipnode.core.query.query import Query
from gossipnode.node.local import index_keeper
from gossipnode.node.node import Node
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import IndexState, StoreError
from gossipnode.store.prepared import INDEXES_PER_SHARD_MAX
from tests.node.queried import ALL, keys, put, queries_of
from tests.records import entity, prop, record

SHARD = ShardId("sw", 0)
OK = Condition("status", Op.EQ, "ok")


async def built() -> None:
    """Let the indexes be built."""
    await trio.sleep(5)


async def used(node: Node, query: Query) -> dict[str, tuple[str, int]]:
    """The index that each replica uses for a query, and the rows that it reads."""
    async with queries_of(node).open(query) as under_way:
        while await under_way.next_page() is not None:
            pass
    return {report.replica: (report.used_index, report.rows_read) for report in under_way.trace.reports}


async def fill(cluster: Cluster, count: int = 200) -> None:
    for i in range(count):
        tags: dict[str, TagValue] = {"status": "ok" if i % 50 == 0 else "bad", "n": i}
        await put(cluster, ALL, record(f"n/{i:03}", **tags))


@pytest.mark.slow
async def test_the_first_query_that_asks_is_scanned_and_the_next_one_finds_an_index(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        await fill(cluster)
        query = Query(("sw",), criteria=OK)
        assert await used(cluster.nodes["b"], query) == dict.fromkeys(ALL, ("", 200))
        await built()
        assert await used(cluster.nodes["c"], query) == dict.fromkeys(ALL, ('status = "ok"', 4))
        assert await keys(cluster.nodes["a"], criteria=OK) == ["n/000", "n/050", "n/100", "n/150"]


@pytest.mark.slow
async def test_the_index_that_a_group_declares_is_built_without_a_query(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        groups = cluster.nodes["a"].parts.membership.groups
        await groups.create("g", indexes=["status"])
        await built()
        shard = cluster.nodes["a"].parts.local.shards.shards_of("g")[0]
        for name in ALL:
            assert cluster.stores[name].indexes(shard) == {"status": IndexState.READY}
        await groups.alter("g", indexes=["status", "n"])
        await built()
        for name in ALL:
            assert cluster.stores[name].indexes(shard).keys() == {"status", "n"}


@pytest.mark.slow
async def test_an_index_that_a_group_declares_no_longer_is_dropped(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        groups = cluster.nodes["a"].parts.membership.groups
        await groups.create("g", indexes=["status", "n"])
        await built()
        await groups.alter("g", indexes=["n"])
        await built()
        shard = cluster.nodes["a"].parts.local.shards.shards_of("g")[0]
        for name in ALL:
            assert cluster.stores[name].indexes(shard) == {"n": IndexState.READY}
        await groups.alter("g", indexes=[])
        await groups.alter("g", indexes=["n"])
        await built()
        for name in ALL:
            assert cluster.stores[name].indexes(shard) == {"n": IndexState.READY}


@pytest.mark.slow
async def test_an_index_that_a_query_asked_for_outlives_changes_of_its_group(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await fill(cluster)
        await keys(cluster.nodes["a"], criteria=OK)
        await built()
        groups = cluster.nodes["a"].parts.membership.groups
        await groups.alter("sw", indexes=["n"])
        await built()
        await groups.alter("sw", indexes=[])
        await built()
        shard = cluster.nodes["a"].parts.local.shards.shards_of("sw")[0]
        for name in ALL:
            assert cluster.stores[name].indexes(shard) == {"status": IndexState.READY}


@pytest.mark.slow
async def test_an_index_stays_right_through_writes_repair_deletes_and_a_restart(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        await fill(cluster)
        await keys(cluster.nodes["a"], criteria=OK)
        await built()
        coordinator = cluster.coordinator("b")
        await coordinator.apply(prop("n/001", status="ok"), replace=False)
        await coordinator.apply(prop("n/050", status="bad"), replace=False)
        await coordinator.delete(entity("n/100"))
        newer = 2_000_000_000 * 10**9
        await put(
            cluster,
            "b",
            record("n/new", revision=newer, status="ok"),
            record("n/000", revision=newer, status="bad"),
        )
        await cluster.round("a")
        async with trio.open_nursery() as nursery:
            cluster.kill("c")
            await cluster.ended["c"].wait()
            await cluster.start(nursery, "c")
            for name in ALL:
                for ack in ("local", "quorum"):
                    found = await keys(cluster.nodes[name], criteria=OK, ack=ack)
                    assert found == ["n/001", "n/150", "n/new"], (name, ack)
            used_by = await used(cluster.nodes["c"], Query(("sw",), criteria=OK))
            assert used_by == dict.fromkeys(ALL, ('status = "ok"', 3))
            cluster.kill("c")


@pytest.mark.slow
async def test_an_order_walks_its_index_and_reads_few_rows(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await fill(cluster, 500)
        query = Query(("sw",), order_by="n", descending=True, limit=5)
        await used(cluster.nodes["a"], query)
        await built()
        reads = await used(cluster.nodes["a"], query)
        assert {index for index, _ in reads.values()} == {"order by n"}
        assert max(rows for _, rows in reads.values()) < 200
        assert await keys(cluster.nodes["b"], order_by="n", descending=True, limit=3) == [
            "n/499",
            "n/498",
            "n/497",
        ]


@pytest.mark.slow
async def test_an_index_that_is_refused_holds_up_no_other_one(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        node = cluster.nodes["a"]
        await keys(node, criteria=Condition("long" * 100, Op.EQ, 1))
        await keys(node, criteria=OK)
        await built()
        shard = node.parts.local.shards.shards_of("sw")[0]
        for name in ALL:
            assert cluster.stores[name].indexes(shard) == {"status": IndexState.READY}


@pytest.mark.slow
async def test_no_more_indexes_are_made_and_remembered_than_there_is_room_for(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_keeper, "INDEXES_REFUSED_MAX", 10)
    async with running(Cluster()) as cluster:
        node, store = cluster.nodes["a"], cluster.stores["a"]
        want, tried = store.want_index, list[str]()

        async def counted(shard: ShardId, tag: str) -> None:
            tried.append(tag)
            await want(shard, tag)

        async def ask(tags: Sequence[str]) -> list[str]:
            """Ask for indexes of these tags; gives those that the store was asked for."""
            tried.clear()
            for tag in tags:
                await keys(node, criteria=Condition(tag, Op.EQ, 1))
            await built()
            return tried.copy()

        store.want_index = counted  # type: ignore[method-assign]
        made = [f"t{i}" for i in range(INDEXES_PER_SHARD_MAX)]
        refused = [f"u{i}" for i in range(20)]
        assert await ask([*made, *refused]) == [*made, *refused]
        for name in ALL:
            assert cluster.stores[name].indexes(SHARD).keys() == set(made)
        # Of those that were refused the last ones are remembered, and the oldest are not.
        assert await ask(refused[10:]) == []
        assert await ask(refused[:1]) == refused[:1]


@pytest.mark.slow
async def test_what_the_store_cannot_do_now_is_tried_again(autojump_clock: object) -> None:
    """The disk may be full, for instance."""
    async with running(Cluster()) as cluster:
        store = cluster.stores["a"]
        build, failed = store.build_indexes, 0

        async def fails(*, limit: int) -> int:
            nonlocal failed
            failed += 1
            raise StoreError("the disk is full")

        await fill(cluster, 10)
        store.build_indexes = fails  # type: ignore[method-assign]
        await keys(cluster.nodes["a"], criteria=OK)
        await trio.sleep(index_keeper.INDEX_RETRY_SECONDS * 2.5)
        assert 2 <= failed <= 3
        store.build_indexes = build  # type: ignore[method-assign]
        await trio.sleep(index_keeper.INDEX_RETRY_SECONDS)
        shard = cluster.nodes["a"].parts.local.shards.shards_of("sw")[0]
        assert store.indexes(shard) == {"status": IndexState.READY}


async def test_a_group_that_declares_no_index_is_not_looked_at(autojump_clock: object) -> None:
    """There may be thousands of shards, and after each change every node would compute where they lie."""
    async with running(Cluster(groups=("sw:8:2",))) as cluster:
        await trio.sleep(1)
        await cluster.parts("a").membership.groups.create("more", shards=8, replicas=2)
        await built()
        assert [cluster.view(name).placed for name in ALL] == [0, 0, 0]
        await cluster.parts("a").membership.groups.alter("more", indexes=["status"])
        await built()
        assert [cluster.view(name).placed for name in ALL] == [8, 8, 8]
