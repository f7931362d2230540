"""Reconcile sessions between two nodes, over the wire, and what is done where the other one knows none."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import trio

from gossipnode.core.model.property import Record
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.messages import RootCompare
from gossipnode.core.session.reconcile.reconcile_messages import (
    Answered,
    Closing,
    OpeningVerdict,
    ReconcileStanding,
    Sums,
    Tags,
    Unmatched,
    WantsAll,
)
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileServer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.repair.repair_stream import RepairStream
from gossipnode.node.repair.shard_store import ReconcileReads, ShardStore
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire.services import RECONCILE, REPAIR
from tests.node.repair.two_nodes import MESSAGE, SHARD, NodeA, Serve
from tests.node.support import make_local
from tests.records import record

OTHER_KEY = bytes([7] * 16)


async def holding(*records: Record) -> LocalState:
    local = make_local()
    await local.store.write([(SHARD, each) for each in records])
    return local


def serving(local: LocalState) -> Serve:
    async def serve(stream: ServerStream[Any, Any]) -> None:
        session = ReconcileServer(local.shards.groups)
        await RepairStream(stream, session, ReconcileReads(session, ShardStore(local))).run()

    return serve


async def hop(ours: LocalState, reconcile: Serve | None, repair: Serve | None = None) -> Hop:
    served = {RECONCILE: reconcile, REPAIR: repair}
    node = NodeA(ours)
    async with node.running({method: serve for method, serve in served.items() if serve}) as peers:
        return await peers.repair("b", MESSAGE)


async def held(local: LocalState) -> list[Record]:
    return await local.store.scan(SHARD, limit=1000)


async def test_both_nodes_have_what_either_had() -> None:
    ours = await holding(*(record(f"n/{each}") for each in range(60)))
    theirs = await holding(*(record(f"n/{each}", revision=9) for each in range(40, 90)))
    done = await hop(ours, serving(theirs))
    assert (done.end, done.session, done.sent, done.received, done.skipped) == (
        HopEnd.REPAIRED,
        "reconcile",
        40,
        50,
        0,
    )
    assert await held(ours) == await held(theirs)
    assert len(await held(ours)) == 90
    again = await hop(ours, serving(theirs))
    assert (again.end, again.session) == (HopEnd.EQUAL, "reconcile")
    assert again.bytes_sent + again.bytes_received < 300


async def test_large_records_go_in_messages_that_the_other_side_takes() -> None:
    alike = [record(f"n/{each}") for each in range(300)]
    large = [record(f"large/{each}", a="x" * 1_000_000) for each in range(14)]
    ours, theirs = await holding(*alike), await holding(*alike, *large)
    done = await hop(ours, serving(theirs))
    assert (done.end, done.sent, done.received, done.reason) == (HopEnd.REPAIRED, 0, 14, "")
    assert await held(ours) == await held(theirs)


async def equal_trees(stream: ServerStream[Any, Any]) -> None:
    await stream.recv()
    await stream.send(RootCompare(tree_found=True, root_match=True))


async def test_a_node_that_cannot_reconcile_compares_trees_and_is_asked_once() -> None:
    node = NodeA(await holding(record("n/1")))
    async with node.running({REPAIR: equal_trees}) as peers:
        first = await peers.repair("b", MESSAGE)
        assert (first.end, first.session) == (HopEnd.EQUAL, "tree")
        assert node.members.peers["b"].lacks_reconcile
        assert (await peers.repair("b", MESSAGE)).session == "tree"


async def test_a_node_with_another_key_compares_trees() -> None:
    async def other_key(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(OpeningVerdict(ReconcileStanding.OTHER_KEY))

    done = await hop(await holding(record("n/1")), other_key, equal_trees)
    assert (done.end, done.session) == (HopEnd.EQUAL, "tree")


async def test_a_node_without_the_shard_is_skipped() -> None:
    async def no_shard(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(OpeningVerdict(ReconcileStanding.NO_SHARD))

    done = await hop(await holding(record("n/1")), no_shard)
    assert (done.end, done.reason) == (HopEnd.SKIPPED, "no tree for the shard")


DIFFERS = OpeningVerdict(ReconcileStanding.DIFFERS, 1, 1)


async def read_to_the_end(stream: ServerStream[Any, Any]) -> None:
    while await stream.recv_batch(16):
        pass


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([Answered(1)], "the session is not open yet"),
        ([DIFFERS, DIFFERS], "OpeningVerdict is not expected now"),
        ([DIFFERS, Answered(2)], "Answered is not expected now"),
        ([DIFFERS, Closing(0)], "Closing is not expected now"),
        ([DIFFERS, Sums(0, [0], 3, [0] * 16)], "not as many as the prefixes need"),
        ([DIFFERS, Sums(0, [0], 1, [0] * 15)], "not as many as the prefixes need"),
        ([DIFFERS, Sums(16, [0], 1, [0] * 16)], "not as many as the prefixes need"),
        ([DIFFERS, Sums(1, [16], 1, [0] * 16)], "prefixes: 16 after -1 at level 1"),
        ([DIFFERS, Tags(1, [3, 3], [0, 0], [])], "prefixes: 3 after 3 at level 1"),
        ([DIFFERS, Tags(1, [3], [2], [1])], "not as many as the counts say"),
        ([DIFFERS, Unmatched([0], ())], "an answer to tags that were not sent"),
        ([DIFFERS, WantsAll(17, [0])], "prefixes: 0 after -1 at level 17"),
        ([DIFFERS, *[WantsAll(0, [0])] * 2000], "asks for more records than there are"),
        ([DIFFERS], "the server ended the session before its closing"),
    ],
)
async def test_a_server_that_lies_ends_the_session_and_no_more(said: list[Any], reason: str) -> None:
    async def lie(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        for message in said:
            await stream.send(message)
        if reason.startswith("the server ended"):
            return
        with pytest.raises(RpcError):
            await read_to_the_end(stream)

    ours = await holding(record("n/1"))
    done = await hop(ours, lie)
    assert done.end is HopEnd.FAILED
    assert reason in done.reason
    assert await held(ours) == [record("n/1")]


async def test_a_cluster_without_a_key_says_that_it_cannot() -> None:
    ours = make_local()
    view = ours.cluster.view
    assert ours.item_indexes.have_key
    keyless = dataclasses.replace(view.metadata, key=b"")
    object.__setattr__(view, "metadata", keyless)
    assert not ours.item_indexes.have_key
    assert (await hop(ours, None, equal_trees)).session == "tree"


async def test_a_call_that_fails_for_another_reason_is_no_tree_session() -> None:
    async def busy(stream: ServerStream[Any, Any]) -> None:
        await trio.lowlevel.checkpoint()
        raise RpcError(Status.RESOURCE_EXHAUSTED, "all session slots are taken")

    done = await hop(await holding(record("n/1")), busy, equal_trees)
    assert (done.end, done.session) == (HopEnd.BUSY, "reconcile")
