"""How the candidates of several replicas become one answer, and what an error on the way leaves of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.query.criteria import Condition, Op
from gossipnode.core.query.query import Query
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.store.interface import StoreError
from gossipnode.wire.wire_errors import WireError
from tests.node.queried import ALL, answer, keys, put, queries_of
from tests.records import record


@pytest.mark.slow
async def test_a_record_with_a_place_for_each_of_its_versions_is_found_once_where_the_newest_stands(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        places: Sequence[tuple[str, int]] = (("a", 10), ("b", 20), ("c", 30))
        for i, (name, t) in enumerate(places):
            await put(cluster, name, record("n/x", revision=i + 1, t=t), record("n/y", revision=9 - i, t=t))
        for t in (5, 15, 25, 35):
            await put(cluster, ALL, record(f"n/{t:02}", t=t))
        order = ["n/05", "n/y", "n/15", "n/25", "n/x", "n/35"]
        for name in ALL:
            assert await keys(cluster.nodes[name], order_by="t") == order
            assert await keys(cluster.nodes[name], order_by="t", descending=True) == order[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_two_records_that_move_to_one_value_keep_their_order(
    limit: int, autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster:
        for item in "xyz":
            await put(cluster, "ab", record(f"n/{item}", revision=1, t=1))
            await put(cluster, "c", record(f"n/{item}", revision=2, t=5))
        found = await keys(cluster.nodes["a"], order_by="t", limit=limit)
        assert found == ["n/x", "n/y", "n/z"][:limit]


@pytest.mark.slow
async def test_what_only_one_replica_says_is_never_believed_without_the_others(
    autojump_clock: object,
) -> None:
    """That holds for a stale copy that matches, and for a replica that finds no match."""
    ones = {"criteria": Condition("t", Op.EQ, 1)}
    async with running(Cluster()) as cluster:
        await put(cluster, "a", record("n/1", revision=1, t=1), record("n/2", revision=2, t=1))
        await put(cluster, "bc", record("n/1", revision=2, t=2), record("n/2", revision=1, t=2))
        for name in ALL:
            assert await keys(cluster.nodes[name], **ones) == ["n/2"]


@pytest.mark.slow
async def test_a_doubtful_candidate_is_read_from_everyone_who_is_there(autojump_clock: object) -> None:
    """Enough other replicas answer before the one that has the record."""
    async with running(Cluster()) as cluster:
        await put(cluster, "c", *(record(f"n/{i}") for i in range(10)))
        read = cluster.stores["c"].read

        async def later(shard: ShardId, entities: Sequence[Entity]) -> list[Record | None]:
            await trio.sleep(0.5)
            return await read(shard, entities)

        cluster.stores["c"].read = later  # type: ignore[method-assign]
        assert len(await keys(cluster.nodes["a"])) == 10


# --- errors ---


@pytest.mark.slow
@pytest.mark.parametrize("error", [RpcError(Status.CANCELLED, "gone"), WireError("x"), KeyError("x")])
async def test_an_error_within_a_query_leaves_it_as_it_is(error: Exception, autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, record("n/1"))
        with pytest.raises(type(error)) as caught:
            await fails(cluster, error)
        assert caught.value is error


async def fails(cluster: Cluster, error: Exception) -> None:
    async with queries_of(cluster.nodes["a"]).open(Query(("sw",))) as under_way:
        assert await under_way.next_page()
        raise error


@pytest.mark.slow
async def test_a_query_that_is_cancelled_is_cancelled(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, record("n/1"))
        with trio.move_on_after(1) as scope:
            async with queries_of(cluster.nodes["a"]).open(Query(("sw",))) as under_way:
                assert await under_way.next_page()
                await trio.sleep_forever()
        assert scope.cancelled_caught


@pytest.mark.slow
async def test_a_node_whose_store_fails_answers_from_the_others(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, record("n/1"), record("n/2"))

        async def fails(*args: object, **options: object) -> None:
            raise StoreError("it cannot be read")

        cluster.stores["a"].scan = fails  # type: ignore[assignment]
        node = cluster.nodes["a"]
        assert await keys(node) == ["n/1", "n/2"]
        assert await keys(node, ack="one") == ["n/1", "n/2"]
        for level in ("local", "all"):
            with pytest.raises(TooFewReplicasError, match="it cannot be read"):
                await answer(node, Query(("sw",), ack=level))
