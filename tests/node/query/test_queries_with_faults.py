"""Queries while replicas hang, die or see other members, and what a query leaves behind when it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import Record
from gossipnode.core.query.query import Query
from gossipnode.core.query.search import Search
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.refusals.request_errors import TooFewReplicasError, UnknownGroupError, UnknownLevelError
from gossipnode.node.replica import scan as replica_scan
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.node.search.ordering import FoundRecord
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import Store
from tests.node.queried import ALL, keys, put, queries_of, quiet
from tests.node.replica.scanning import SHARD, under_way
from tests.records import prop, record

# --- levels, and replicas that are not there ---


@pytest.mark.slow
async def test_each_level_asks_as_many_as_it_says(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        for name in ALL:
            await put(cluster, name, record(f"n/{name}"))
        node = cluster.nodes["b"]
        assert await keys(node, ack="local") == ["n/b"]
        assert await keys(node, ack="one") == ["n/b"]
        assert await keys(node, ack="quorum") == ["n/a", "n/b", "n/c"]
        assert await keys(node, ack="all") == ["n/a", "n/b", "n/c"]
        with pytest.raises(UnknownLevelError, match="expected one of local, one, quorum, all"):
            await keys(node, ack="two")
        with pytest.raises(UnknownGroupError, match="'nope' is unknown"):
            await keys(node, "sw", "nope")


@pytest.mark.slow
async def test_local_on_a_node_without_a_copy_finds_nothing(autojump_clock: object) -> None:
    async with running(Cluster(groups=("sw:4:1",))) as cluster:
        for i in range(20):
            await cluster.coordinator("a").apply(prop(f"n/{i:02}"), replace=False)
        own = [await keys(cluster.nodes[name], ack="local") for name in ALL]
        assert sorted(key for found in own for key in found) == [f"n/{i:02}" for i in range(20)]
        for name in ALL:
            assert len(await keys(cluster.nodes[name], ack="one")) == 20


@pytest.mark.slow
async def test_with_one_replica_down_a_quorum_answers_and_all_does_not(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "bc", record("n/1"), record("n/2"))
        await cluster.isolate("c")
        began = trio.current_time()
        for _ in range(2):
            assert await keys(cluster.nodes["a"], order_by="k") == ["n/1", "n/2"]
        assert trio.current_time() - began < 0.1
        with pytest.raises(TooFewReplicasError) as caught:
            await keys(cluster.nodes["a"], ack="all")
        assert str(caught.value).startswith("sw/0: 2 of 3 replicas answered, all needs 3; not: c (")
        with pytest.raises(TooFewReplicasError) as caught:
            await keys(cluster.nodes["c"])
        problem = str(caught.value)
        assert problem.startswith("sw/0: ")
        assert "quorum needs 2; not: " in problem
        assert "a (" in problem or "b (" in problem


@pytest.mark.slow
@pytest.mark.parametrize("ack", ["one", "quorum"])
@pytest.mark.parametrize("order_by", ["", "t"])
async def test_a_replica_that_hangs_costs_one_timeout(
    ack: str, order_by: str, autojump_clock: object
) -> None:
    async with running(Cluster(("a", "b", "c", "d"), ("sw:8:3",))) as cluster:
        for i in range(100):
            await cluster.coordinator("a").apply(prop(f"n/{i:03}", t=i), replace=False, ack="all")
        cluster.hang("b")
        for name in ("a", "d"):
            for most in (REPLICA_SECONDS * 1.1, 0.1):
                began = trio.current_time()
                found = await keys(cluster.nodes[name], ack=ack, order_by=order_by)
                assert found == [f"n/{i:03}" for i in range(100)]
                assert trio.current_time() - began <= most


@pytest.mark.slow
async def test_a_search_that_hangs_on_its_way_to_a_replica_costs_one_timeout(
    autojump_clock: object,
) -> None:
    """The ids of the search fill the window of its stream, so that sending them has to end in time, too."""
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, record("n/1"))
        cluster.hang("b")
        ids = frozenset([*(f"{i:0500}" for i in range(7000)), "1"])
        began = trio.current_time()
        assert await keys(cluster.nodes["a"], ids=ids) == ["n/1"]
        assert trio.current_time() - began <= REPLICA_SECONDS * 1.1


@pytest.mark.slow
@pytest.mark.parametrize("order", [{}, {"order_by": "t"}])
async def test_a_replica_that_dies_in_the_middle_of_its_answer(
    order: dict[str, Any], autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Cluster(groups=("sw:2:3",))) as cluster:
        count = 300
        await put(cluster, ALL, *(record(f"n/{i:04}", t=i) for i in range(count)))
        stall_search(monkeypatch, cluster, "c", after=3)
        found: list[str] = []
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), limit=count, **order)) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += [one.entity.id for one in page]
                if found and not cluster.faults.severed:
                    await cluster.isolate("c")
        assert found == [f"{i:04}" for i in range(count)]
        failures = {report.replica: report.failure for report in under_way.trace.reports}
        assert failures["c"]
        assert not failures["a"]
        assert not failures["b"]


def stall_search(patch: pytest.MonkeyPatch, cluster: Cluster, names: str, *, after: int) -> None:
    """Let the searches that these nodes serve find this number of pages, and never come to an end."""

    class Stalling(LocalSearch):
        def __init__(self, store: Store, search: Search) -> None:
            super().__init__(store, search)
            stalls = any(store is cluster.stores[name] for name in names)
            self.left = after if stalls else sys.maxsize

        async def next_page(self) -> Sequence[FoundRecord] | None:
            if self.left == 0:
                await trio.sleep_forever()
            page = await super().next_page()
            self.left -= bool(page)
            return page

    patch.setattr(replica_scan, "LocalSearch", Stalling)


async def interrupted(cluster: Cluster, found: list[str], *, at: int) -> None:
    """Ask node a for everything, and part it from the other nodes once it has found `at` records."""
    async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += [one.entity.id for one in page]
            if len(found) == at:
                await cluster.isolate("a")
                await quiet()


@pytest.mark.slow
async def test_when_too_few_are_left_in_the_middle_of_an_answer_it_fails(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(record(f"n/{i:04}") for i in range(300)))
        stall(cluster, "b", after=3)
        stall(cluster, "c", after=3)
        with pytest.raises(TooFewReplicasError, match="1 of 3 replicas answered, quorum needs 2; not: b "):
            await interrupted(cluster, [], at=64)


@pytest.mark.slow
async def test_a_stale_copy_is_not_taken_for_certain_once_the_others_have_broken_off(
    autojump_clock: object,
) -> None:
    """What the other replicas said before they broke off counts: here, that the record is deleted."""
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(record(f"n/{i:04}") for i in range(300) if i != 170))
        await put(cluster, "a", record("n/0170"))
        await put(cluster, "bc", record("n/0170", revision=2, delete_time=2))
        stall(cluster, "b", after=3)
        stall(cluster, "c", after=3)
        found: list[str] = []
        with pytest.raises(TooFewReplicasError):
            await paused(cluster, found, at=128)
        assert found == [f"{i:04}" for i in range(192) if i != 170][: len(found)]
        assert len(found) > 170


def stall(cluster: Cluster, name: str, *, after: int) -> None:
    """Let a node's store give this number of pages, and nothing more."""
    store = cluster.stores[name]
    scan, left = store.scan, after

    async def scan_or_stall(*args: Any, **options: Any) -> list[Record]:
        nonlocal left
        left -= 1
        if left < 0:
            await trio.sleep_forever()
        return await scan(*args, **options)

    store.scan = scan_or_stall  # type: ignore[method-assign]


async def paused(cluster: Cluster, found: list[str], *, at: int) -> None:
    """Ask node a for everything, and take nothing for a while once it has found `at` records."""
    async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
        while (page := await under_way.next_page()) is not None:
            found += [one.entity.id for one in page]
            if len(found) == at:
                await trio.sleep(REPLICA_SECONDS * 2)


@pytest.mark.slow
async def test_with_one_the_next_replica_takes_over_from_one_that_breaks_off(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Cluster(("a", "b", "c", "d"), ("sw:1:3",))) as cluster:
        holders = cluster.parts("a").local.shards.replicas(SHARD)
        (outside,) = set("abcd") - set(holders)
        count = 300
        await put(cluster, holders, *(record(f"n/{i:04}") for i in range(count)))
        stall_search(monkeypatch, cluster, holders[0], after=3)
        found: list[str] = []
        query = Query(("sw",), everything=True, ack="one")
        async with queries_of(cluster.nodes[outside]).open(query) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += [one.entity.id for one in page]
                if len(found) == 64:
                    await cluster.isolate(holders[0])
        assert found == [f"{i:04}" for i in range(count)]
        assert under_way.trace.reports[0].failure


# --- other views ---


@pytest.mark.slow
async def test_replicas_of_another_view_are_compared_with_and_asked_again(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        admin = cluster.nodes["b"].parts.membership.groups
        await admin.create("g")
        await put(cluster, ALL, record("n/old", group="g"))
        assert await keys(cluster.nodes["a"], "g") == ["n/old"]
        await cluster.isolate("a")
        await admin.delete("g")
        await admin.create("g")
        await put_as(cluster, "b", "bc", record("n/new", group="g"))
        cluster.faults.heal()
        assert await keys(cluster.nodes["a"], "g", order_by="k") == ["n/new"]


async def put_as(cluster: Cluster, view: str, names: str, *records: Record) -> None:
    """As `put`, in the view of a node."""
    shards = cluster.nodes[view].parts.local.shards
    for name in names:
        await cluster.stores[name].write([(shards.shard_of(each.entity), each) for each in records])


# --- bounds ---


@pytest.mark.slow
async def test_leaving_early_stops_the_replicas(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(Cluster()) as cluster:
        count = 500
        await put(cluster, ALL, *(record(f"n/{i:04}") for i in range(count)))
        stall_search(monkeypatch, cluster, "bc", after=3)
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as query:
            assert await query.next_page()
            assert [under_way(cluster, name) for name in "bc"] == [1, 1]
        await quiet()
        assert [under_way(cluster, name) for name in "bc"] == [0, 0]
        assert all(report.rows_read < count for report in query.trace.reports)


@pytest.mark.slow
async def test_a_query_over_very_many_records_holds_few_of_them(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        count = 2000
        records = [record(f"n/{i:04}") for i in range(count)]
        await put(cluster, ALL, *records)
        found, most = 0, 0
        async with queries_of(cluster.nodes["a"]).open(Query(("sw",), everything=True)) as under_way:
            while (page := await under_way.next_page()) is not None:
                found += len(page)
                reported = sum(report.candidates for report in under_way.trace.reports)
                most = max(most, reported - 3 * found)
        assert found == count
        assert most <= 3 * 3 * 64
