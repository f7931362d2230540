"""A replica as coordinators ask it to search, and queries as clients ask for them, over whole nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.query.criteria import (
    CRITERIA_DEPTH_MAX,
    Condition,
    Criteria,
    LogicalExpression,
    LogicalOp,
    Op,
)
from gossipnode.core.query.search import Search
from gossipnode.node.endpoints.record_sender import STREAM_PAUSE_SECONDS, record_sender
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.replica import scan as replica_scan
from gossipnode.node.replica.scan import SCAN_PAUSE_SECONDS, SCAN_STALLED_SECONDS, STREAM_MESSAGE_BYTES
from gossipnode.rpc import Channel, RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.criteria_codec import encode_criteria
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.scan_codec import SearchedShard, decode_candidates, encode_search
from tests.node.query.queried import keys, put, version

ALL = ("a", "b", "c")
SHARD = ShardId("sw", 0)
OURS = {call_metadata.NODE: "a", call_metadata.CLUSTER: "main"}


@asynccontextmanager
async def asked(cluster: Cluster, name: str = "a") -> AsyncIterator[Channel]:
    async with running(cluster), cluster.channel(name) as channel:
        yield channel


async def every(channel: Channel, method: Any, request: Any, **metadata: str) -> list[Any]:
    found: list[Any] = []
    async with channel.stream(method, timeout=None, metadata=metadata) as stream:
        await stream.send(request)
        await stream.half_close()
        while more := await stream.recv_batch(16):
            found += more
    return found


def scan_request(cluster: Cluster, *, fence: bytes | None = None, **options: Any) -> pb.ScanRequest:
    own = cluster.nodes["a"].parts.local.shards.placement(SHARD).fence
    shard = SearchedShard(SHARD, own if fence is None else fence, properties=True)
    return encode_search(Search((SHARD,), **options), [shard])


def scan_of(cluster: Cluster, name: str) -> replica_scan.ReplicaScan:
    return cluster.nodes[name].parts.scan


# --- a replica ---


@pytest.mark.slow
async def test_a_search_is_answered_in_order_and_says_when_it_is_finished(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, "b") as channel:
        records = [version(f"n/{i:03}", s="x" * 10_000) for i in range(100)]
        await put(cluster, "b", *records)
        pages = await every(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
        found = [each for page in pages for each in decode_candidates(page, [SHARD])]
        assert [each.payload for each in found] == [each.payload for each in records]
        assert [page.finished for page in pages] == [False] * (len(pages) - 1) + [True]
        assert pages[-1].rows_read == 100
        assert max(page.ByteSize() for page in pages) < STREAM_MESSAGE_BYTES + 11_000


@pytest.mark.slow
async def test_another_view_is_refused(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster, "b") as channel:
        with pytest.raises(RpcError, match="b sees other members for sw/0") as caught:
            await every(channel, services.REPLICA_SCAN, scan_request(cluster, fence=b"12345678"), **OURS)
        assert caught.value.status is Status.FAILED_PRECONDITION
        gone = pb.ScanRequest(shards=[pb.ScanShard(group="sw", shard=0, incarnation=7)])
        with pytest.raises(RpcError) as caught:
            await every(channel, services.REPLICA_SCAN, gone, **OURS)
        assert caught.value.status is Status.NOT_FOUND


@asynccontextmanager
async def a_search_that_nobody_reads(channel: Channel, cluster: Cluster) -> AsyncIterator[None]:
    """Start a search of more than a stream's window holds, and take nothing of it."""
    async with channel.stream(services.REPLICA_SCAN, timeout=None, metadata=OURS) as stream:
        await stream.send(scan_request(cluster))
        await stream.half_close()
        await trio.sleep(0.1)
        assert scan_of(cluster, "b").under_way == 1
        yield


@pytest.mark.slow
async def test_searches_beyond_what_is_served_at_once_wait_for_their_turn(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", 1)
    cluster = Cluster()
    async with asked(cluster, "b") as channel:
        await put(cluster, "b", *(version(f"n/{i:03}", s="x" * 100_000) for i in range(100)))
        async with a_search_that_nobody_reads(channel, cluster):
            with trio.move_on_after(SCAN_STALLED_SECONDS / 2) as waited:
                await every(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
            assert waited.cancelled_caught, "the turn is taken, and its holder may be slow"
            by_key = scan_request(cluster, name="n", ids=frozenset({"007"}))
            pages = await every(channel, services.REPLICA_SCAN, by_key, **OURS)
            assert len([each for page in pages for each in page.candidates]) == 1
        await trio.sleep(0.1)
        assert scan_of(cluster, "b").under_way == 0


@pytest.mark.slow
async def test_a_search_that_nobody_reads_gives_its_turn_to_one_that_waits(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", 1)
    cluster = Cluster()
    async with asked(cluster, "b") as channel:
        await put(cluster, "b", *(version(f"n/{i:03}", s="x" * 100_000) for i in range(100)))
        async with a_search_that_nobody_reads(channel, cluster):
            pages = await every(channel, services.REPLICA_SCAN, scan_request(cluster), **OURS)
            assert pages[-1].finished
            assert not pages[0].finished, "it says that it is alive while it waits"
            assert len([each for page in pages for each in page.candidates]) == 100
        assert scan_of(cluster, "b").under_way == 0


@pytest.mark.slow
async def test_a_large_order_tag_makes_no_message_too_large(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, ALL, *(version(f"n/{i:02}", t=f"{i:02}" + "x" * 400_000) for i in range(20)))
        assert await keys(cluster.nodes["a"], order_by="t") == [f"n/{i:02}" for i in range(20)]


@pytest.mark.slow
async def test_a_search_of_a_shard_that_has_to_be_given_up_ends_with_an_error(
    autojump_clock: object,
) -> None:
    """Its copy is dropped then: the end of what is found would not be the end of what there is."""
    async with running(Cluster()) as cluster:
        admin = cluster.nodes["a"].parts.membership.groups
        await admin.create("g")
        shards = cluster.nodes["b"].parts.local.shards
        shard = shards.shards_of("g")[0]
        held = replica_scan.HeldShards(shards, [SHARD, shard])
        assert held.lost() is None
        await admin.create("h")
        assert held.lost() is None
        await admin.delete("g")
        assert held.lost() == shard


# --- signs of life ---


def slow(cluster: Cluster, name: str, seconds: float) -> None:
    """Let every page of a node's store take so long."""
    store = cluster.stores[name]
    scan = store.scan

    async def later(*args: Any, **options: Any) -> Any:
        await trio.sleep(seconds)
        return await scan(*args, **options)

    store.scan = later  # type: ignore[method-assign]


@pytest.mark.slow
async def test_a_long_search_with_nothing_to_find_shows_signs_of_life(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, ALL, *(version(f"n/{i:04}", t=i) for i in range(1000)))
        for name in ALL:
            slow(cluster, name, 1.5)
        nothing = encode_criteria(Condition("t", Op.LT, 0))
        query = banyandb.QueryRequest(groups=["sw"], criteria=nothing)
        began, last, longest, found = trio.current_time(), trio.current_time(), 0.0, 0
        async with channel.stream(services.NODE_QUERY, timeout=None) as stream:
            await stream.send(v1.QueryRequest(query=query))
            await stream.half_close()
            while (batch := await stream.recv()) is not None:
                longest, last = max(longest, trio.current_time() - last), trio.current_time()
                found += len(batch.records)
        assert found == 0
        assert last - began > 4 * REPLICA_SECONDS
        assert longest <= STREAM_PAUSE_SECONDS + 0.1
        assert SCAN_PAUSE_SECONDS < 1.5 < REPLICA_SECONDS


class StalledStream:
    """Where a client takes what it is sent only when it is let."""

    def __init__(self) -> None:
        self.taken: list[v1.RecordBatch] = []
        self.taking = trio.Event()

    async def send(self, batch: v1.RecordBatch) -> None:
        await self.taking.wait()
        self.taken.append(batch)


async def test_a_sign_of_life_that_is_on_its_way_at_the_end_is_not_lost(autojump_clock: object) -> None:
    """It carries the records that were found so far."""
    stream: Any = StalledStream()
    records = [version(f"n/{i}") for i in range(5)]

    async def find() -> None:
        async with record_sender(stream) as sender:
            await sender.add(records[:3])
            await trio.sleep(STREAM_PAUSE_SECONDS * 1.5)
            await sender.add(records[3:])
        await sender.flush()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        await trio.sleep(STREAM_PAUSE_SECONDS * 3)
        stream.taking.set()
    sent = [record.property for batch in stream.taken for record in batch.records]
    assert sent == [record.payload for record in records]


# --- at the door ---


def read(records: list[Any]) -> list[Record]:
    return [decode_record(each.property, each.delete_time) for each in records]


@pytest.mark.slow
async def test_an_export_has_the_whole_group_with_tombstones_or_without(autojump_clock: object) -> None:
    cluster = Cluster(groups=("sw:3:2",))
    async with asked(cluster, "b") as channel:
        for i in range(30):
            await cluster.coordinator("abc"[i % 3]).apply(version(f"n/{i:02}").payload, replace=False)
        for i in range(0, 30, 3):
            await cluster.coordinator("c").delete(version(f"n/{i:02}").entity)
        batches = await every(channel, services.NODE_EXPORT, v1.ExportRequest(group="sw"))
        live = read([each for batch in batches for each in batch.records])
        assert [each.entity.id for each in live] == [f"{i:02}" for i in range(30) if i % 3]
        request = v1.ExportRequest(group="sw", tombstones=True)
        batches = await every(channel, services.NODE_EXPORT, request)
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
        await put(cluster, "ab", *(version(f"n/{i:02}", t=i) for i in range(80)))
        cluster.hang("c")
        request = banyandb.QueryRequest(
            groups=["sw"],
            criteria=encode_criteria(Condition("t", Op.GE, 70)),
            order_by=model.QueryOrder(tag_name="t"),
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
        batches = await every(channel, services.NODE_QUERY, v1.QueryRequest(query=request))
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
        await put(cluster, "ab", version("n/1"))
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
            await every(channel, method, own.get(method, query))
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
                await every(channel, method, request)
            assert caught.value.status is status
        behind = v1.QueryRequest(
            query=banyandb.QueryRequest(groups=["sw"], order_by=model.QueryOrder(tag_name="t")),
            after="sw/n/gone",
        )
        with pytest.raises(RpcError, match="after: there is no record") as caught:
            await every(channel, services.NODE_QUERY, behind)
        assert caught.value.status is Status.INVALID_ARGUMENT


@pytest.mark.slow
async def test_a_client_that_goes_away_ends_the_search_everywhere(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, ALL, *(version(f"n/{i:04}", t=i) for i in range(1000)))
        for name in ALL:
            slow(cluster, name, 1.0)
        with pytest.raises(RpcError) as caught:
            await channel.unary(services.QUERY, banyandb.QueryRequest(groups=["sw"]), timeout=2)
        assert caught.value.status is Status.DEADLINE_EXCEEDED
        await trio.sleep(0.1)
        assert [scan_of(cluster, name).under_way for name in ALL] == [0, 0, 0]
