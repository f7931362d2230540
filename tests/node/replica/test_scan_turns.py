"""Searches that wait for their turn at a replica: what they send meanwhile, and who is served first."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.node.peers import call_metadata
from gossipnode.node.replica import scan as replica_scan
from gossipnode.node.replica.replica import Replica
from gossipnode.node.replica.scan import SCAN_PAUSE_SECONDS, SCANS_SERVED_AT_ONCE, ReplicaScan
from gossipnode.node.search.search_turns import Places
from gossipnode.rpc import CallContext, ReplyBudget, RpcError
from gossipnode.sim import Cluster
from gossipnode.wire import services
from tests.concurrency.accounts import account
from tests.node.asking import asked, every_answer
from tests.node.queried import put
from tests.node.replica.scanning import OURS, SHARD, scan_request, under_way
from tests.node.support import make_local
from tests.records import record


class OneAtATime:
    """A stream of a coordinator that takes a message only when it is told to."""

    def __init__(self, request: Any) -> None:
        self.call = CallContext("/s/m", {}, "10.0.0.1:1", (), None, ReplyBudget(1, account()))
        self.request = request
        self.taking = trio.Event()
        self.taken: list[Any] = []
        self.sends = 0

    async def recv(self) -> Any:
        await trio.lowlevel.checkpoint()
        return self.request

    async def send(self, page: Any) -> None:
        assert not self.sends, "two tasks send at the same time"
        self.sends += 1
        try:
            await self.taking.wait()
            self.taken.append(page)
        finally:
            self.sends -= 1


async def test_a_sign_of_life_is_sent_whole_before_the_search_sends(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", Places(1, 1))
    local = make_local()
    await local.store.write([(SHARD, record("n/1"))])
    scan = ReplicaScan(local, Replica(local))
    fence = local.shards.placement(SHARD).fence
    streams = []
    for _ in range(2):
        request = scan_request(Cluster(), fence=fence)
        stream: Any = OneAtATime(request)
        streams.append(stream)
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(scan.serve, stream)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2 * SCAN_PAUSE_SECONDS)
        first, second = streams
        assert second.sends, "its sign of life is on its way"
        first.taking.set()
        await trio.testing.wait_all_tasks_blocked()
        second.taking.set()
    assert [page.finished for page in second.taken] == [False, False, True]
    assert [len(page.candidates) for page in second.taken] == [0, 1, 0]


async def test_a_search_whose_sign_of_life_nobody_takes_holds_its_turn_no_longer_than_others(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its turn, but cannot begin."""
    monkeypatch.setattr(replica_scan, "SCANS_SERVED_AT_ONCE", Places(1, 1))
    local = make_local()
    scan = ReplicaScan(local, Replica(local))
    request = scan_request(Cluster(), fence=local.shards.placement(SHARD).fence)
    first, deaf, last = (OneAtATime(request) for _ in range(3))
    refused: list[RpcError] = []

    async def serve(stream: Any) -> None:
        try:
            await scan.serve(stream)
        except RpcError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for stream in (first, deaf, last):
            nursery.start_soon(serve, stream)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2 * SCAN_PAUSE_SECONDS)
        last.taking.set()
        first.taking.set()
    assert "too little was taken" in refused[0].message
    assert last.taken[-1].finished


@pytest.mark.slow
@pytest.mark.parametrize("unread", [12, 256])
async def test_a_coordinator_that_reads_nothing_takes_no_place_of_another_one(
    unread: int, autojump_clock: object
) -> None:
    cluster = Cluster()
    async with asked(cluster, at="b") as channel, AsyncExitStack() as streams:
        await put(cluster, "b", *(record(f"n/{number}", s="x" * 400_000) for number in range(30)))
        for number in range(unread):
            if number % 128 == 0:
                deaf = await streams.enter_async_context(cluster.channel("b"))
            stream = await streams.enter_async_context(
                deaf.stream(services.REPLICA_SCAN, timeout=None, metadata=OURS)
            )
            await stream.send(scan_request(cluster))
            await stream.half_close()
        await trio.sleep(1)
        assert under_way(cluster, "b") == min(unread, SCANS_SERVED_AT_ONCE.held // 2)
        theirs = {**OURS, call_metadata.NODE: "c"}
        with trio.fail_after(SCAN_PAUSE_SECONDS):
            pages = await every_answer(channel, services.REPLICA_SCAN, scan_request(cluster), **theirs)
        assert sum(len(page.candidates) for page in pages) == 30
