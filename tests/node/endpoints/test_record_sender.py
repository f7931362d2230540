"""Records on their way to a client, and the signs of life between them."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.query.criteria import Condition, Op
from gossipnode.node.endpoints.record_sender import STREAM_PAUSE_SECONDS, record_sender
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.replica.scan import SCAN_PAUSE_SECONDS
from gossipnode.sim import Cluster
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.query.criteria_codec import encode_criteria
from tests.node.asking import asked
from tests.node.queried import ALL, put, slow
from tests.records import record


@pytest.mark.slow
async def test_a_long_search_with_nothing_to_find_shows_signs_of_life(autojump_clock: object) -> None:
    cluster = Cluster()
    async with asked(cluster) as channel:
        await put(cluster, ALL, *(record(f"n/{i:04}", t=i) for i in range(1000)))
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
    """A stream whose client takes nothing before `taking` is set."""

    def __init__(self) -> None:
        self.taken: list[v1.RecordBatch] = []
        self.taking = trio.Event()

    async def send(self, batch: v1.RecordBatch) -> None:
        await self.taking.wait()
        self.taken.append(batch)


async def test_a_sign_of_life_that_is_on_its_way_at_the_end_is_not_lost(autojump_clock: object) -> None:
    """It carries the records that were found so far."""
    stream: Any = StalledStream()
    records = [record(f"n/{i}") for i in range(5)]

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
