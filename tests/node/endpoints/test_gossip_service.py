"""Messages of rounds that other nodes hand to a node: forged ones are refused, and strangers never dialed."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import RoundOutcome
from gossipnode.core.ring.turn import RING_MAX_NODES, HopEnd
from gossipnode.node.peers import call_metadata
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import PROPAGATION
from tests.records import record

SHARD = ShardId("sw", 0)


class WatchedNetwork(MemoryNetwork):
    """A network that remembers every address that was dialed."""

    def __init__(self) -> None:
        super().__init__()
        self.dialed: set[str] = set()

    async def connect(self, address: object) -> trio.abc.Stream:
        self.dialed.add(str(address))
        return await super().connect(address)  # type: ignore[arg-type]


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
