"""A peer that is alive and says nothing: how long a session waits for it, and what is no silence."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.messages import (
    AnswerTo,
    ClientMessage,
    DifferSummary,
    PropertyAnswer,
    RootCompare,
    ServerMessage,
)
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.repair.session_runs import SERVER_SILENCE_SECONDS
from gossipnode.node.repair.shard_store import ShardStore
from gossipnode.rpc import Server, ServerStream
from gossipnode.sim import Cluster
from gossipnode.wire.services import REPAIR
from tests.node.repair.streams import stream_pair
from tests.node.repair.tree_streams import tree_stream
from tests.node.support import make_local, memory_store
from tests.records import record

SHARD = ShardId("sw", 0)
DEADLINE_SECONDS = 3600.0
Stream = ServerStream[ClientMessage, ServerMessage]


async def hop_with_foreign(serve: Callable[[Stream], Awaitable[None]], cluster: Cluster | None = None) -> Hop:
    """One session of node a with b, which serves sessions and nothing else."""
    cluster = cluster or Cluster(names="ab", overrides={"repair.session_deadline_seconds": DEADLINE_SECONDS})
    async with trio.open_nursery() as nursery:
        listeners = await cluster.network.listen(cluster.address("b"))
        await nursery.start(Server({REPAIR: serve}).serve, listeners)
        await cluster.start(nursery, "a")
        parts = cluster.parts("a")
        await trio.sleep(60)
        assert parts.members.peers["b"].foreign
        hop = await parts.repair.sessions.compare(parts.members.peers["b"], SHARD, parts.members.metadata)
        cluster.stop()
        nursery.cancel_scope.cancel()
    return hop


async def differ_and_read_all(stream: Stream, *given: Record) -> None:
    """Say all that a server says, but for the end."""
    await stream.recv()
    await stream.send(RootCompare(tree_found=True, root_match=False))
    await stream.send_batch([PropertyAnswer(AnswerTo.MISSING, each) for each in given])
    await stream.send(DifferSummary(()))
    while await stream.recv_batch(16):
        pass


@pytest.mark.parametrize("rebuild_seconds", [90.0, 1200.0])
async def test_a_foreign_server_may_rebuild_its_tree_before_it_ends(
    rebuild_seconds: float, autojump_clock: object
) -> None:
    async def serve(stream: Stream) -> None:
        await differ_and_read_all(stream)
        await trio.sleep(rebuild_seconds)

    hop = await hop_with_foreign(serve)
    assert (hop.end, hop.reason) == (HopEnd.REPAIRED, "")
    assert hop.seconds == pytest.approx(rebuild_seconds, abs=1)


@pytest.mark.slow
async def test_a_foreign_server_that_never_ends_is_waited_for_until_the_deadline(
    autojump_clock: object,
) -> None:
    async def serve(stream: Stream) -> None:
        await differ_and_read_all(stream)
        await trio.sleep_forever()

    hop = await hop_with_foreign(serve)
    assert hop.end is HopEnd.FAILED
    assert f"within {DEADLINE_SECONDS:.0f} s" in hop.reason
    assert hop.seconds == pytest.approx(DEADLINE_SECONDS, abs=1)


@pytest.mark.parametrize("said", [(), (RootCompare(tree_found=True, root_match=False),)])
async def test_a_server_that_goes_silent_loses_the_session(
    said: tuple[ServerMessage, ...], autojump_clock: object
) -> None:
    """It keeps answering pings, so that the connection looks well."""

    async def serve(stream: Stream) -> None:
        await stream.recv()
        await stream.send_batch(said)
        await trio.sleep_forever()

    hop = await hop_with_foreign(serve)
    assert (hop.end, hop.reason) == (HopEnd.FAILED, "the server said nothing for 300 s")
    assert hop.seconds == pytest.approx(SERVER_SILENCE_SECONDS, abs=1)


async def test_a_server_that_takes_long_to_build_its_tree_is_waited_for(autojump_clock: object) -> None:
    async def serve(stream: Stream) -> None:
        await stream.recv()
        await trio.sleep(SERVER_SILENCE_SECONDS - 30)
        await stream.send(RootCompare(tree_found=True, root_match=True))

    assert (await hop_with_foreign(serve)).end is HopEnd.EQUAL


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("slow", ["tree", "leaves", "records", "write"])
async def test_no_work_of_our_own_store_counts_as_silence_of_the_peer(
    slow: str, side: str, autojump_clock: object
) -> None:
    """Whatever a session asks of its store may take longer than the peer may be silent."""
    ours, theirs = stream_pair(100)
    stores = {name: memory_store() for name in ("client", "server")}
    for name, store in stores.items():
        await store.write(
            [(SHARD, record(f"n/{name}")), (SHARD, record("n/both", k=name, revision=len(name)))]
        )
    work = {name: ShardStore(make_local(store), SHARD) for name, store in stores.items()}
    quick: Callable[..., Awaitable[Any]] = getattr(work[side], slow)

    async def slowly(*asked: Any) -> Any:
        await trio.sleep(1000)
        return await quick(*asked)

    tree = await work["client"].tree(SHARD)
    assert tree is not None
    setattr(work[side], slow, slowly)
    silence = {name: 100.0 if name == side else math.inf for name in stores}

    async def serve() -> None:
        session = TreeServer({"sw": 1}, page_leaves=8)
        await tree_stream(theirs, session, work["server"], silence_seconds=silence["server"]).run()
        theirs.outbound.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        end = await tree_stream(
            ours,
            TreeClient(SHARD, 1, tree, page_leaves=8),
            work["client"],
            half_close=ours.half_close,
            end_wait_seconds=silence["client"],
            silence_seconds=silence["client"],
        ).run()
    assert end is SessionEnd.REPAIRED
    assert await stores["client"].tree(SHARD) == await stores["server"].tree(SHARD)
