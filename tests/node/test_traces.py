"""Traces of a whole cluster: one for each round over all its hops, one for each request with its replicas."""

from __future__ import annotations

import pytest
import trio
from opentelemetry.trace import SpanKind

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.node.peers.call_metadata import traceparent
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.rpc import RpcError
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from tests.node.asking import asked, every_answer
from tests.observe.traces.recorded import Recorded, facts
from tests.records import entity, record

APPLY = v1.ApplyRequest(property=record("n/1").payload)
GET = v1.GetRequest(group="sw", name="n", id="1")
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def test_a_round_is_one_trace_with_its_hops_in_order(
    autojump_clock: object, recorded: Recorded
) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with running(cluster):
        await cluster.put("b", record("n/1"))
        known = await cluster.round("a")
    assert known.outcome is RoundOutcome.REPAIRED
    whole = recorded.one("round")
    assert whole.parent is None
    assert facts([whole], "round") == [known.round]
    assert facts([whole], "outcome") == ["repaired"]
    assert whole.status.is_unset
    hops = recorded.parts(whole)
    assert [span.name for span in hops] == ["hop"] * 3
    assert facts(hops, "hop") == [1, 2, 3]
    assert facts(hops, "peer") == ["b", "c", "a"]
    assert facts(hops, "outcome") == [hop.end.value for hop in known.hops]
    # The other side of each hop is a part of it.
    for hop, holder in zip(hops, "abc", strict=True):
        (served,) = recorded.parts(hop)
        assert served.name == "session"
        assert served.kind is SpanKind.SERVER
        assert facts([served], "peer") == [holder]
    assert len({span.context.trace_id for span in recorded.spans()}) == 1


async def test_a_hop_that_fails_says_why(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with running(cluster):
        await cluster.end("b")
        await cluster.round("a")
    whole = recorded.one("round")
    assert whole.status.description == "incomplete"
    hops = recorded.parts(whole)
    assert facts(hops, "peer") == ["b", "c", "a", "b", "c"]
    said = [str(span.status.description).partition(":")[0] for span in hops]
    assert said == ["skipped", "None", "None", "skipped", "None"]


@pytest.mark.parametrize("said", ["hostile", f"00-{'0' * 32}-{'0' * 16}-01", "00-" + "a" * 9999])
async def test_a_traceparent_that_is_none_is_ignored(
    autojump_clock: object, recorded: Recorded, said: str
) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with asked(cluster) as channel:
        got = await channel.unary(services.NODE_GET, GET, timeout=5, metadata={"traceparent": said})
    assert not got.record.property
    assert recorded.one("gossipnode.v1.NodeService/Get").parent is None


async def test_a_request_is_a_trace_with_its_replicas(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with asked(cluster) as channel:
        await channel.unary(services.NODE_APPLY, APPLY, timeout=5)
        await channel.unary(services.NODE_GET, GET, timeout=5, metadata={"traceparent": PARENT})
    got = recorded.one("gossipnode.v1.NodeService/Get")
    assert got.kind is SpanKind.SERVER
    assert got.parent is not None
    assert f"{got.context.trace_id:032x}" == "ab" * 16
    assert f"{got.parent.span_id:016x}" == "cd" * 8
    read = recorded.parts(got)
    assert {span.name for span in read} == {"replica read"}
    assert sorted(map(str, facts(read, "replica"))) == ["a", "b", "c"]
    assert facts(read, "group") == ["sw"] * 3
    written = recorded.parts(recorded.one("gossipnode.v1.NodeService/Apply"))
    told = [(span.name, fact) for span, fact in zip(written, facts(written, "replica"), strict=True)]
    assert sorted(told) == [(f"replica {does}", name) for does in ("read", "write") for name in "abc"]


async def test_a_replica_that_hangs_ends_its_span_later(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with asked(cluster) as channel:
        cluster.hang("c")
        await channel.unary(services.NODE_GET, GET, timeout=5)
        assert facts(recorded.spans("replica read"), "replica") == ["a", "b"]
        await trio.sleep(REPLICA_SECONDS + 1)
        failed = [span for span in recorded.spans("replica read") if not span.status.is_unset]
    assert facts(failed, "replica") == ["c"]
    assert "no answer" in str(failed[0].status.description)


async def test_a_request_that_fails_says_so(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with asked(cluster) as channel:
        unknown = v1.GetRequest(group="none", name="n", id="1")
        with pytest.raises(RpcError):
            await channel.unary(services.NODE_GET, unknown, timeout=5)
    span = recorded.one("gossipnode.v1.NodeService/Get")
    assert "none" in str(span.status.description)


async def test_a_query_tells_which_replicas_searched(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with asked(cluster) as channel:
        await channel.unary(services.NODE_APPLY, APPLY, timeout=5)
        query = v1.QueryRequest(query=banyandb.QueryRequest(groups=["sw"]))
        (batch,) = await every_answer(channel, services.NODE_QUERY, query)
    assert len(batch.records) == 1
    searched = recorded.spans("replica search")
    assert len(searched) >= 2
    assert {span.parent.span_id for span in searched if span.parent} == {
        recorded.one("gossipnode.v1.NodeService/Query").context.span_id
    }
    assert facts(searched, "candidates") == [1] * len(searched)


async def test_what_nodes_do_for_nobody_has_no_trace(autojump_clock: object, recorded: Recorded) -> None:
    cluster = Cluster(traces=recorded.traces)
    async with running(cluster):
        await cluster.coordinator("a").get(entity("n/1"))
        await trio.sleep(60)
    assert recorded.spans() == []


def test_a_call_names_its_span_in_the_form_of_w3c() -> None:
    assert traceparent({"traceparent": PARENT}) == PARENT


@pytest.mark.parametrize(
    "said", ["", "x", PARENT.upper(), PARENT + "\n", PARENT + "-more", PARENT[:-1], PARENT.encode()]
)
def test_anything_else_names_no_span(said: str | bytes) -> None:
    assert traceparent({"traceparent": said}) == ""
    assert traceparent({}) == ""
