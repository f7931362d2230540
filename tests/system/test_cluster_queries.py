"""Queries of a stock gRPC client over a cluster of three processes, with one of them stopped or gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, Op
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.pb.banyandb.model.v1 import query_pb2 as model
from gossipnode.wire.query.criteria_codec import encode_criteria
from tests.system.nodes import Nodes
from tests.system.processes import Node, eventually
from tests.system.stock_client import NODE_SERVICE, PROPERTY, Stock, refused
from tests.system.stock_messages import own, property_of, rpc

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")
COUNT = 60
GE = model.Condition.BinaryOp.BINARY_OP_GE
DESC = model.Sort.SORT_DESC


@pytest.fixture(scope="module")
def cluster(module_nodes: Nodes) -> Nodes:
    nodes = module_nodes.start(*NAMES, groups=["parts:4:2", "whole:1:3"])
    clients = [Stock(node.address) for node in nodes]
    for i in range(COUNT):
        for group in ("parts", "whole"):
            clients[i % 3].apply(property_of(group, f"n{i % 2}", f"{i:02}", {"n": i % 7, "s": f"text {i}"}))
    for client in clients:
        client.delete("whole", "n0", "00")
        client.close()
    return module_nodes


@pytest.fixture(params=NAMES)
def stock(cluster: Nodes, request: pytest.FixtureRequest) -> Iterator[Stock]:
    with Stock(cluster[request.param].address) as stock:
        yield stock


def at_least(number: int) -> Any:
    criteria = model.Criteria()
    criteria.condition.name, criteria.condition.op = "n", GE
    criteria.condition.value.int.value = number
    return criteria


def ids(properties: Any) -> list[str]:
    return [each.id for each in properties]


def ask(stock: Stock, **options: Any) -> Any:
    return stock.unary(f"{PROPERTY}/Query", rpc.QueryRequest(**options), rpc.QueryResponse)


def test_any_node_answers_for_every_shard_and_group(stock: Stock) -> None:
    found = ask(stock, groups=["parts", "whole"], limit=1000).properties
    assert [(each.metadata.group, each.metadata.name, each.id) for each in found] == [
        (group, f"n{odd}", f"{i:02}")
        for group in ("parts", "whole")
        for odd in (0, 1)
        for i in range(odd, COUNT, 2)
        if (group, i) != ("whole", 0)
    ]


def test_criteria_order_limit_and_projection(stock: Stock) -> None:
    order = rpc.QueryOrder(tag_name="n", sort=DESC)
    found = ask(
        stock, groups=["parts"], criteria=at_least(5), order_by=order, limit=12, tag_projection=["n"]
    ).properties
    wanted = sorted((i for i in range(COUNT) if i % 7 >= 5), key=lambda i: (-(i % 7), i % 2, i))[:12]
    assert ids(found) == [f"{i:02}" for i in wanted]
    assert [[tag.key for tag in each.tags] for each in found] == [["n"]] * 12


def test_a_trace_has_a_span_for_each_replica(stock: Stock) -> None:
    trace = ask(stock, groups=["parts"], criteria=at_least(5), trace=True, limit=1000).trace
    (root,) = trace.spans
    assert {span.message for span in root.children} == {f"search on {name}" for name in NAMES}
    for span in root.children:
        tags = {tag.key: tag.value for tag in span.tags}
        assert int(tags["rows read"]) > 0
        assert span.duration >= 0
        assert "parts/" in tags["shards"]


def nested(depth: int) -> bytes:
    """A query in bytes, since Google's classes for Python refuse to nest messages deeper than 100."""
    criteria: Criteria = Condition("n", Op.GE, 0)
    for _ in range(depth - 1):
        criteria = LogicalExpression(LogicalOp.AND, Condition("n", Op.GE, 0), criteria)
    request = banyandb.QueryRequest(groups=["whole"], limit=1000, criteria=encode_criteria(criteria))
    return services.QUERY.encode_request(request)


def test_criteria_nested_64_deep_are_answered_and_65_refused(stock: Stock) -> None:
    answer = rpc.QueryResponse.FromString(stock.raw_unary(f"{PROPERTY}/Query", nested(64)))
    assert len(answer.properties) == COUNT - 1
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "nested more than 64 deep"):
        stock.raw_unary(f"{PROPERTY}/Query", nested(65))


def test_a_long_answer_comes_in_batches_and_pages_go_on_after_a_key(stock: Stock) -> None:
    request = own.QueryRequest(query=rpc.QueryRequest(groups=["parts"], limit=25), after="parts/n0/58")
    batches = stock.answers(f"{NODE_SERVICE}/Query", request, own.RecordBatch)
    found = [record.property.id for batch in batches for record in batch.records]
    assert found == [f"{i:02}" for i in range(1, 51, 2)]


def test_with_one_stopped_answers_are_complete_and_only_the_first_one_waits(nodes: Nodes) -> None:
    started = nodes.start(*NAMES, groups=["whole:1:3"])
    with Stock(started[0].address) as stock:
        for i in range(20):
            stock.apply(property_of("whole", "n", f"{i:02}", {"n": i}))
        started[2].send(signal.SIGSTOP)
        everything = [f"{i:02}" for i in range(20)]
        assert ids(ask(stock, groups=["whole"]).properties) == everything
        began = time.monotonic()
        assert ids(ask(stock, groups=["whole"]).properties) == everything
        assert time.monotonic() - began < 1.5
        started[2].send(signal.SIGCONT)
        started[1].kill()
        _back(stock, started[2])
        started[2].kill()
        with refused(grpc.StatusCode.UNAVAILABLE, "1 of 3 replicas answered, quorum needs 2; not: b "):
            ask(stock, groups=["whole"])
    started[0].assert_no_defect()


def _back(stock: Stock, node: Node) -> None:
    """Wait until queries ask a node again that was stopped for a while.

    One that finds out that another node has just died is refused if this one still counts as down.
    """

    def searched() -> bool:
        try:
            (root,) = ask(stock, groups=["whole"], trace=True).trace.spans
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return any(span.message == f"search on {node.name}" and not span.error for span in root.children)

    eventually(searched, f"answer of {node.name}")
