"""Queries and exports as clients ask for them: what an answer tells, and how a wrong one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.core.model.property import Record
from gossipnode.core.query.criteria import (
    CRITERIA_DEPTH_MAX,
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    Op,
)
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.query.criteria_codec import encode_criteria
from tests.node.asking import asked, every_answer
from tests.node.queried import put
from tests.records import entity, prop, record


def read(records: list[Any]) -> list[Record]:
    return [decode_record(each.property, each.delete_time) for each in records]


@pytest.mark.slow
async def test_an_export_has_the_whole_group_with_tombstones_or_without(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:3:2",))
    async with asked(cluster, at="b") as channel:
        for i in range(30):
            await cluster.coordinator("abc"[i % 3]).apply(prop(f"n/{i:02}"), replace=False)
        for i in range(0, 30, 3):
            await cluster.coordinator("c").delete(entity(f"n/{i:02}"))
        batches = await every_answer(channel, services.NODE_EXPORT, v1.ExportRequest(group="sw"))
        live = read([each for batch in batches for each in batch.records])
        assert [each.entity.id for each in live] == [f"{i:02}" for i in range(30) if i % 3]
        request = v1.ExportRequest(group="sw", tombstones=True)
        batches = await every_answer(channel, services.NODE_EXPORT, request)
        whole = read([each for batch in batches for each in batch.records])
        assert [each.entity.id for each in whole] == [f"{i:02}" for i in range(30)]
        assert [each.deleted for each in whole] == [i % 3 == 0 for i in range(30)]


def spans(trace: Any) -> dict[str, dict[str, str]]:
    (root,) = trace.spans
    return {span.message: {tag.key: tag.value for tag in span.tags} for span in root.children}


@pytest.mark.slow
async def test_a_trace_tells_what_each_replica_did(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "ab", *(record(f"n/{i:02}", t=i) for i in range(80)))
        cluster.hang("c")
        request = banyandb.QueryRequest(
            groups=["sw"],
            criteria=encode_criteria(Condition("t", Op.GE, 70)),
            order_by=banyandb.QueryOrder(tag_name="t"),
            trace=True,
        )
        reply = await channel.unary(services.QUERY, request, timeout=10)
        assert len(reply.properties) == 10
        children = spans(reply.trace)
        assert children.keys() == {"search on a", "search on b", "search on c"}
        for name in "ab":
            tags = children[f"search on {name}"]
            assert (tags["rows read"], tags["candidates"]) == ("80", "10")
            assert tags["index"] == "none: all records are read"
        assert children["search on c"]["error"] == "no answer within 2 s"
        (root,) = reply.trace.spans
        hanging = next(span for span in root.children if span.message == "search on c")
        assert hanging.error
        assert hanging.duration == REPLICA_SECONDS * 1e9
        assert root.duration >= hanging.duration

        cluster.faults.heal()
        batches = await every_answer(channel, services.NODE_QUERY, v1.QueryRequest(query=request))
        assert sum(len(batch.records) for batch in batches) == 10
        assert [bool(batch.trace.spans) for batch in batches] == [False] * (len(batches) - 1) + [True]
        assert spans(batches[-1].trace).keys() >= {"search on a", "search on b"}
        plain = await channel.unary(services.QUERY, banyandb.QueryRequest(groups=["sw"]), timeout=10)
        assert not plain.trace.spans


def nested(depth: int) -> Criteria:
    criteria: Criteria = Condition("k", Op.EQ, "v")
    for _ in range(depth - 1):
        criteria = LogicalExpression(LogicalOp.AND, Condition("k", Op.EQ, "v"), criteria)
    return criteria


@pytest.mark.slow
async def test_criteria_are_nested_so_deep_and_no_deeper(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, "ab", record("n/1"))
        request = banyandb.QueryRequest(groups=["sw"], criteria=encode_criteria(nested(CRITERIA_DEPTH_MAX)))
        reply = await channel.unary(services.QUERY, request, timeout=10)
        assert len(reply.properties) == 1
        request.criteria = encode_criteria(nested(CRITERIA_DEPTH_MAX + 1))
        with pytest.raises(RpcError, match="nested more than 64 deep") as caught:
            await channel.unary(services.QUERY, request, timeout=10)
        assert caught.value.status is Status.INVALID_ARGUMENT


@pytest.mark.slow
@pytest.mark.parametrize("method", [services.QUERY, services.NODE_QUERY, services.NODE_EXPORT])
async def test_too_few_replicas_are_unavailable_and_named(method: Any, autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await cluster.isolate("a")
        query = banyandb.QueryRequest(groups=["sw"])
        own = {
            services.NODE_QUERY: v1.QueryRequest(query=query),
            services.NODE_EXPORT: v1.ExportRequest("sw"),
        }
        with pytest.raises(RpcError, match="1 of 3 replicas answered, quorum needs 2; not: ") as caught:
            await every_answer(channel, method, own.get(method, query))
        assert caught.value.status is Status.UNAVAILABLE
        assert "b (" in caught.value.message
        assert "c (" in caught.value.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        (banyandb.QueryRequest(), Status.INVALID_ARGUMENT, "groups: expected at least one"),
        (banyandb.QueryRequest(groups=["nope"]), Status.NOT_FOUND, "'nope' is unknown"),
        (
            banyandb.QueryRequest(groups=["sw"], name="n", ids=["x" * 5000]),
            Status.INVALID_ARGUMENT,
            "id",
        ),
    ],
)
async def test_a_wrong_query_gets_the_status_that_it_deserves(
    query: Any, status: Status, text: str, autojump_clock: object
) -> None:
    async with asked(Cluster()) as channel:
        for method, request in ((services.QUERY, query), (services.NODE_QUERY, v1.QueryRequest(query=query))):
            with pytest.raises(RpcError, match=text) as caught:
                await every_answer(channel, method, request)
            assert caught.value.status is status
        behind = v1.QueryRequest(
            query=banyandb.QueryRequest(groups=["sw"], order_by=banyandb.QueryOrder(tag_name="t")),
            after="sw/n/gone",
        )
        with pytest.raises(RpcError, match="after: there is no record") as caught:
            await every_answer(channel, services.NODE_QUERY, behind)
        assert caught.value.status is Status.INVALID_ARGUMENT
