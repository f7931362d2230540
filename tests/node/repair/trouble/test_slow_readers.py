"""A peer whose disk is slow reads slowly, and says nothing meanwhile: that is no silence, but crawling is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.session.messages import (
    DifferSummary,
    PropertyMissing,
    RootCompare,
    TreeRoot,
    TreeSlots,
)
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.repair.shard_store import ShardStore
from tests.node.repair.streams import FakeStream, Pipe
from tests.node.repair.tree_streams import tree_stream
from tests.node.support import make_local, memory_store
from tests.records import record

SHARD = ShardId("sw", 0)
SILENCE_SECONDS = 100.0


class SlowReader(FakeStream):
    """The peer takes some bytes of each list of answers, and then some more, and says nothing."""

    def __init__(self, inbound: Pipe, takes: Sequence[int], every_seconds: float) -> None:
        super().__init__(inbound, Pipe(100))
        self._takes = takes
        self._every_seconds = every_seconds
        self._taken = 0

    @property
    def bytes_sent(self) -> int:
        return self._taken

    async def send_batch(self, messages: Sequence[Any]) -> None:
        if not isinstance(messages[0], RootCompare | DifferSummary):
            for size in self._takes:
                await trio.sleep(self._every_seconds)
                self._taken += size
        await super().send_batch(messages)


async def serve(takes: Sequence[int], every_seconds: float) -> None:
    """Serve a client that asks for one record, and takes a long time to read it."""
    store = memory_store()
    await store.write([(SHARD, record("n/1"))])
    inbound = Pipe(100)
    await inbound.put(TreeRoot("sw", 0, "another"))
    stream = SlowReader(inbound, takes, every_seconds)
    server = tree_stream(
        stream,
        TreeServer({"sw": 1}, page_leaves=8),
        ShardStore(make_local(store), SHARD),
        silence_seconds=SILENCE_SECONDS,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        assert isinstance((await stream.outbound.take(1))[0], RootCompare)
        await inbound.put(TreeSlots(()))
        assert isinstance((await stream.outbound.take(1))[0], DifferSummary)
        await inbound.put(PropertyMissing("sw/n/1"))
        await stream.outbound.take(1)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_takes_what_we_send_is_not_silent(autojump_clock: object) -> None:
    await serve([65_536] * 10, 0.6 * SILENCE_SECONDS)
    assert trio.current_time() == 6 * SILENCE_SECONDS


@pytest.mark.parametrize(
    "takes",
    [
        pytest.param([1] * 10, id="a byte a minute"),
        pytest.param([65_535] * 10, id="almost enough a minute"),
        pytest.param([65_536, *[0] * 9], id="enough once, and then nothing"),
    ],
)
async def test_a_peer_that_takes_next_to_nothing_is_silent(takes: list[int], autojump_clock: object) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(TimeoutError, match="the client said nothing for 100 s")):
        await serve(takes, 0.6 * SILENCE_SECONDS)
