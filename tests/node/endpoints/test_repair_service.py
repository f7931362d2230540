"""What other replicas, strangers and liars may ask of a node, over the whole stack in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import RING_MAX_NODES, Cause, HopEnd
from gossipnode.core.session.messages import RootCompare, TreeRoot, WaitNextDiffer
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import RpcError, Server, ServerStream, Status
from gossipnode.sim import Cluster
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import PROPAGATION, REPAIR, REPORT
from tests.node.cluster import record

SHARD = ShardId("sw", 0)


class WatchedNetwork(MemoryNetwork):
    """Keeps the addresses that anybody dialed."""

    def __init__(self) -> None:
        super().__init__()
        self.dialed: set[str] = set()

    async def connect(self, address: object) -> trio.abc.Stream:
        self.dialed.add(str(address))
        return await super().connect(address)  # type: ignore[arg-type]


@asynccontextmanager
async def running(cluster: Cluster, *names: str) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, *names)
        yield nursery
        cluster.stop()


def request(
    *,
    nodes: tuple[str, ...] = ("a", "b", "c"),
    count: int = 0,
    limit: int = 3,
    origin: str = "a",
    group: str = "sw",
    shard: int = 0,
) -> banyandb.PropagationRequest:
    return banyandb.PropagationRequest(
        context=banyandb.PropagationContext(
            nodes=list(nodes),
            max_propagation_count=limit,
            current_propagation_count=count,
            origin_node=origin,
        ),
        group=group,
        shard_id=shard,
    )


async def propagate(
    cluster: Cluster, asked: banyandb.PropagationRequest, metadata: dict[str, str] | None = None
) -> RpcError | None:
    async with cluster.channel("b") as channel:
        try:
            await channel.unary(PROPAGATION, asked, timeout=5, metadata=metadata)
        except RpcError as error:
            return error
    return None


@pytest.mark.parametrize(
    ("forged", "status", "said"),
    [
        (request(origin="mallory"), Status.INVALID_ARGUMENT, "origin 'mallory' is no member"),
        (request(origin=""), Status.INVALID_ARGUMENT, "origin '' is no member"),
        (request(origin="evil.example:7400"), Status.INVALID_ARGUMENT, "is no member"),
        (banyandb.PropagationRequest(group="sw"), Status.INVALID_ARGUMENT, "is no member"),
        (request(nodes=("a", "c")), Status.INVALID_ARGUMENT, "'b' is not among"),
        (request(nodes=()), Status.INVALID_ARGUMENT, "'b' is not among"),
        (request(nodes=("x", "y", "evil.example:7400")), Status.INVALID_ARGUMENT, "'b' is not among"),
        (request(nodes=("b",) * (RING_MAX_NODES + 1)), Status.INVALID_ARGUMENT, "1025 nodes"),
        (request(count=-1), Status.INVALID_ARGUMENT, "current_propagation_count -1"),
        (request(count=3), Status.INVALID_ARGUMENT, "expected less than 3 hops"),
        (request(count=2_000_000_000, limit=2_100_000_000), Status.INVALID_ARGUMENT, "count 2000000000"),
        (request(shard=1), Status.NOT_FOUND, "holds no shard 'sw'/1"),
        (request(group="nope"), Status.NOT_FOUND, "holds no shard 'nope'/0"),
    ],
)
async def test_a_forged_message_is_refused(
    forged: banyandb.PropagationRequest, status: Status, said: str, autojump_clock: object
) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        error = await propagate(cluster, forged)
        assert error is not None
        assert error.status is status
        assert said in error.message
        with trio.fail_after(0):
            await cluster.parts("b").repair.holder.wait_idle()


async def test_strangers_and_doubles_in_a_message_are_never_dialed(autojump_clock: object) -> None:
    cluster = Cluster()
    cluster.network = network = WatchedNetwork()
    async with running(cluster, "b", "c"):
        await cluster.put("b", record("n/1"))
        forged = request(nodes=("evil:1", "b", "evil:1", "c", "b", "10.0.0.1:7400"), limit=1000, origin="c")
        assert await propagate(cluster, forged, {call_metadata.ROUND: "forged"}) is None
        await trio.sleep(60)
        roots = await cluster.roots()
        assert roots["b"] == roots["c"]
    assert network.dialed == {"a:7400", "b:7400", "c:7400"}


async def test_a_limit_that_a_message_claims_is_not_believed(autojump_clock: object) -> None:
    """Two nodes make one hop, whatever the message says."""
    cluster = Cluster(names="bc")
    hops: list[str] = []
    async with running(cluster):
        for name in "bc":
            peers = cluster.nodes[name].parts.repair.neighbours
            repair = peers.repair

            async def counted(peer: str, message: object, repair: object = repair) -> object:
                hops.append(peer)
                return await repair(peer, message)  # type: ignore[operator]

            peers.repair = counted  # type: ignore[method-assign,assignment]
        assert await propagate(cluster, request(nodes=("b", "c"), limit=1_000_000, origin="c")) is None
        await trio.sleep(60)
    assert hops == ["c"]


async def test_a_message_is_answered_before_its_work_is_done(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b", "c"):
        await cluster.put("c", *(record(f"n/{i}") for i in range(10)))
        cluster.stores["b"].commit_seconds = 100
        began = trio.current_time()
        assert await propagate(cluster, request()) is None
        assert trio.current_time() - began < 1


async def test_a_message_for_a_node_that_stops_is_unavailable(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        cluster.nodes["b"].parts.repair.holder.refuse_more()
        error = await propagate(cluster, request())
        assert error is not None
        assert error.status is Status.UNAVAILABLE


async def test_two_clusters_refuse_each_other(autojump_clock: object) -> None:
    """A stale address must not join two clusters."""
    cluster = Cluster(names="ab")
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, "a", **{"cluster.name": "red"})
        await cluster.start(nursery, "b", **{"cluster.name": "blue"})
        await cluster.put("a", record("n/red"))
        await cluster.put("b", record("n/blue"))
        for origin, other, own in (("a", "blue", "red"), ("b", "red", "blue")):
            finished = await cluster.round(origin)
            assert finished.outcome is RoundOutcome.INCOMPLETE
            (reason,) = {hop.reason for hop in finished.hops}
            assert f"this node belongs to cluster '{other}', the caller to '{own}'" in reason
            assert {hop.end for hop in finished.hops} == {HopEnd.SKIPPED}
        for name in "ab":
            assert (await cluster.stores[name].counts(SHARD)).records == 1
        error = await propagate(
            cluster, request(nodes=("a", "b"), origin="a"), {call_metadata.CLUSTER: "red"}
        )
        assert error is not None
        assert error.status is Status.PERMISSION_DENIED
        cluster.stop()


async def test_a_foreign_peer_says_no_cluster_and_is_let_in(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        assert await propagate(cluster, request()) is None


async def tell(cluster: Cluster, caller: str, **fields: object) -> RpcError | None:
    report = v1.ReportRequest(group="sw", shard=0, **fields)  # type: ignore[arg-type]
    async with cluster.channel("a") as channel:
        try:
            await channel.unary(REPORT, report, timeout=5, metadata={call_metadata.NODE: caller})
        except RpcError as error:
            return error
    return None


async def test_reports_of_strangers_and_in_anothers_name_are_ignored(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster):
        cluster.stores["b"].commit_seconds = 3
        await cluster.put("a", record("n/1"))
        watch = cluster.nodes["a"].parts.repair.rounds.start(SHARD, Cause.ASKED)
        await trio.sleep(1)
        round_id = watch.now().round
        hop = v1.Hop(from_="a", to="b", outcome="equal")
        ended = {"round": round_id, "count": 0, "hops": [hop] * 3, "ended": ""}
        assert await tell(cluster, "stranger", holder="stranger", **ended) is None
        refused = await tell(cluster, "stranger", holder="b", **ended)
        assert refused is not None
        assert refused.status is Status.PERMISSION_DENIED
        assert watch.now().outcome is None
        assert watch.now().hops == ()
        while watch.now().outcome is None:
            await watch.changed.wait()
        assert watch.now().outcome is RoundOutcome.REPAIRED


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "without next"),
        ({"ended": "", "hops": [v1.Hop(outcome="great")]}, "great"),
        ({"ended": "", "hops": [v1.Hop(outcome="busy")]}, "expected equal, repaired, skipped or failed"),
        ({"ended": "", "hops": [v1.Hop(outcome="equal", seconds=float("nan"))]}, "nan is no duration"),
        ({"ended": "", "hops": [v1.Hop(outcome="equal")] * 3000}, "3000 hops in one report"),
    ],
)
async def test_a_report_that_makes_no_sense_is_refused(
    fields: dict[str, object], said: str, autojump_clock: object
) -> None:
    cluster = Cluster()
    async with running(cluster, "a"):
        error = await tell(cluster, "b", holder="b", **fields)
        assert error is not None
        assert error.status is Status.INVALID_ARGUMENT
        assert said in error.message


# Sessions that others open with us


async def test_a_session_out_of_order_ends_with_what_was_expected(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"):
        async with cluster.channel("b") as channel, channel.stream(REPAIR, timeout=5) as stream:
            await stream.send(WaitNextDiffer())
            with pytest.raises(RpcError) as caught:
                await stream.recv()
        assert caught.value.status is Status.INVALID_ARGUMENT
        assert "expected tree_root, got wait_next_differ" in caught.value.message


async def test_an_unknown_shard_has_no_tree(autojump_clock: object) -> None:
    cluster = Cluster()
    async with running(cluster, "b"), cluster.channel("b") as channel:
        for group, shard in (("sw", 1), ("nope", 0), ("", 4_000_000_000)):
            async with channel.stream(REPAIR, timeout=5) as stream:
                await stream.send(TreeRoot(group, shard, ""))
                assert await stream.recv() == RootCompare(tree_found=False, root_match=False)
                await stream.finish()


async def test_a_session_that_says_nothing_gives_its_slot_back_at_the_deadline(
    autojump_clock: object,
) -> None:
    """A peer without a deadline of its own, alive but silent, must not hold a slot for ever."""
    cluster = Cluster(overrides={"repair.max_sessions": 1, "repair.session_deadline_seconds": 60})
    async with running(cluster, "b"), cluster.channel("b") as channel:
        async with channel.stream(REPAIR, timeout=None) as stream:
            await stream.send(TreeRoot("sw", 0, "another"))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            with pytest.raises(RpcError) as caught, trio.fail_after(110):
                await stream.recv()
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            assert trio.current_time() == pytest.approx(60, abs=5)
        async with channel.stream(REPAIR, timeout=5) as stream:
            await stream.send(TreeRoot("sw", 0, ""))
            assert await stream.recv() == RootCompare(tree_found=True, root_match=True)


async def test_sessions_given_up_in_the_middle_give_their_slots_back(autojump_clock: object) -> None:
    cluster = Cluster(overrides={"repair.max_sessions": 2})
    async with running(cluster, "b"), cluster.channel("b") as channel:
        for _ in range(10):
            async with channel.stream(REPAIR, timeout=5) as stream:
                await stream.send(TreeRoot("sw", 0, "another"))
                assert await stream.recv() == RootCompare(tree_found=True, root_match=False)
            await trio.sleep(0.1)


# A foreign successor


class ForeignPeer:
    """The server of a peer that speaks the compatible protocol alone, and knows no tree."""

    def __init__(self) -> None:
        self.taken: list[banyandb.PropagationRequest] = []

    async def repair(self, stream: ServerStream[object, object]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=False, root_match=False))
        raise RpcError(Status.INTERNAL, "the tree is not built")

    async def propagation(self, asked: banyandb.PropagationRequest, call: object) -> object:
        self.taken.append(asked)
        return banyandb.PropagationResponse()


async def test_a_foreign_peer_without_a_tree_is_skipped_whatever_error_it_ends_with(
    autojump_clock: object,
) -> None:
    cluster = Cluster()
    foreign = ForeignPeer()
    server = Server({REPAIR: foreign.repair, PROPAGATION: foreign.propagation})
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, await cluster.network.listen(cluster.address("b")))
        await cluster.start(nursery, "a", "c")
        finished = await cluster.round()
        assert [(hop.to_node, hop.end) for hop in finished.hops][:2] == [
            ("b", HopEnd.SKIPPED),
            ("c", HopEnd.EQUAL),
        ]
        assert finished.hops[0].reason == "no tree for the shard"
        cluster.stop()
        nursery.cancel_scope.cancel()
