"""Clients that stop reading cost themselves: the requests of everybody else go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import TreeRoot
from gossipnode.node.search.search_turns import SEARCH_STALLED_SECONDS
from gossipnode.rpc import Channel, Limits
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from tests.node.asking import every_answer
from tests.node.cluster import put, tags_at
from tests.node.replica.scanning import OURS, scan_request
from tests.records import record

RECORDS = 40
RECORD_CHARACTERS = 20_000
SMALL_WINDOWS = Limits(stream_window_bytes=64 << 10, connection_window_bytes=256 << 10)
"""An answer with all records fills the window of its stream, and four such streams that of a connection."""

IN_ORDER = banyandb.QueryOrder(tag_name="s")


def unread_requests(cluster: Cluster) -> dict[str, tuple[Any, Any, dict[str, str]]]:
    """Calls with long answers: the method, the request and the metadata of each."""
    everything = banyandb.QueryRequest(groups=["sw"], limit=100_000)
    ordered = banyandb.QueryRequest(groups=["sw"], limit=100_000, order_by=IN_ORDER)
    return {
        "query": (services.NODE_QUERY, v1.QueryRequest(query=everything), {}),
        "ordered query": (services.NODE_QUERY, v1.QueryRequest(query=ordered), {}),
        "export": (services.NODE_EXPORT, v1.ExportRequest(group="sw"), {}),
        "tree": (services.NODE_TREE, v1.TreeRequest(group="sw", shard=0, leaves=True), {}),
        "repair": (services.NODE_REPAIR, v1.RepairRequest(group="sw", wait=True), {}),
        "session": (services.REPAIR, TreeRoot("sw", 0, "another"), {}),
        "search of a coordinator": (services.REPLICA_SCAN, scan_request(cluster), OURS),
    }


async def leave_unread(
    streams: AsyncExitStack, channel: Channel, asked: tuple[Any, Any, dict[str, str]], times: int
) -> None:
    method, request, metadata = asked
    for _ in range(times):
        stream = await streams.enter_async_context(channel.stream(method, timeout=None, metadata=metadata))
        await stream.send(request)


async def everybody_is_served(cluster: Cluster, name: str) -> None:
    """What clients and members ask of a node is answered, over a connection of its own."""
    async with cluster.channel(name) as channel:
        with trio.fail_after(1):
            applied = await put(cluster, name, x=1)
            assert applied.acknowledged >= 2
            assert await tags_at(cluster, name, ack="all") == {"x": 1}
            named = banyandb.QueryRequest(groups=["sw"], name="n", ids=["1"])
            assert len((await channel.unary(services.QUERY, named, timeout=None)).properties) == 1
            (batch,) = await every_answer(channel, services.NODE_QUERY, v1.QueryRequest(query=named))
            assert len(batch.records) == 1
        few = banyandb.QueryRequest(groups=["sw"], name="n", limit=1)
        ordered = banyandb.QueryRequest(groups=["sw"], name="n", limit=1, order_by=IN_ORDER)
        # They come from the same address, so that they wait until some of those that stall have been ended.
        with trio.fail_after(SEARCH_STALLED_SECONDS):
            for query in (few, ordered):
                batches = await every_answer(channel, services.NODE_QUERY, v1.QueryRequest(query=query))
                assert sum(len(each.records) for each in batches) == 1
                assert len((await channel.unary(services.QUERY, query, timeout=None)).properties) == 1
    parts = cluster.parts(name)
    for peer in parts.members.peers.values():
        assert peer.state == "up"
        hop = await parts.repair.sessions.compare(peer, ShardId("sw", 0), parts.members.metadata)
        assert hop.end is HopEnd.EQUAL, hop.reason
    outcome = (await cluster.round(name)).outcome
    assert outcome in (RoundOutcome.CONVERGED, RoundOutcome.REPAIRED)


@asynccontextmanager
async def deaf_channel(cluster: Cluster, name: str) -> AsyncGenerator[Channel]:
    async def connect() -> trio.abc.Stream:
        return await cluster.network.connect(cluster.address(name))

    async with Channel(connect, limits=SMALL_WINDOWS) as channel:
        yield channel


@pytest.mark.slow
@pytest.mark.parametrize("connections", [1, 16])
@pytest.mark.parametrize(
    ("kinds", "times"),
    [
        (("query", "export", "search of a coordinator"), 64),
        (("ordered query",), 16),
        (("tree", "repair", "session"), 64),
    ],
)
async def test_answers_that_nobody_reads_keep_nobody_else_waiting(
    kinds: tuple[str, ...], times: int, connections: int, autojump_clock: object
) -> None:
    async with running(Cluster()) as cluster, AsyncExitStack() as streams:
        for name in "abc":
            records = (record(f"big/{n}", s=f"{n:03}" + "x" * RECORD_CHARACTERS) for n in range(RECORDS))
            await cluster.put(name, *records)
        requests = unread_requests(cluster)
        for kind in kinds:
            for _ in range(connections):
                channel = await streams.enter_async_context(deaf_channel(cluster, "b"))
                await leave_unread(streams, channel, requests[kind], times // connections)
        await trio.sleep(1)
        for name in "ba":
            await everybody_is_served(cluster, name)
