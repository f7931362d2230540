"""Clients that stop reading cost themselves: the requests of everybody else go on."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from gossipnode.core.ring.round import RoundOutcome
from gossipnode.sim import Cluster, running
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from tests.node.cluster import put, tags_at
from tests.records import record

RECORDS = 5000
ID_CHARACTERS = 4000


@pytest.mark.slow
async def test_exports_that_nobody_reads_stop_no_write_read_hello_or_round(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        records = [record(f"n/{number:0{ID_CHARACTERS}}") for number in range(RECORDS)]
        for name in "abc":
            await cluster.put(name, *records)
        async with AsyncExitStack() as clients:
            for _ in range(8):
                channel = await clients.enter_async_context(cluster.channel("a"))
                stream = await clients.enter_async_context(channel.stream(services.NODE_EXPORT, timeout=None))
                await stream.send(v1.ExportRequest(group="sw"))
                assert await stream.recv() is not None
            await trio.sleep(60)
            for peer in cluster.parts("a").members.peers.values():
                assert peer.state == "up"
            applied = await put(cluster, "a", x=1)
            assert applied.acknowledged >= 2
            assert await tags_at(cluster, "a", ack="all") == {"x": 1}
            outcome = (await cluster.round("a")).outcome
            assert outcome in (RoundOutcome.CONVERGED, RoundOutcome.REPAIRED)
