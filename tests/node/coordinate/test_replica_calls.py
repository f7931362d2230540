"""Replicas that hang, are down or have no room: what a request waits for, and what its client is told."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.query.replica_messages import ReplicaRequest
from gossipnode.node.peers import exchange_link
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS, Asked, TakeAnswer
from gossipnode.node.peers.hello import HELLO_MAX_SECONDS, HELLO_TIMEOUT_SECONDS
from gossipnode.node.refusals.request_errors import TooFewReplicasError
from gossipnode.rpc import RpcError, Status
from gossipnode.sim import Cluster, running
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.services import NODE_APPLY, NODE_DELETE, NODE_GET
from tests.node.cluster import N1, put, tags_at
from tests.records import prop

# Replicas without room


async def applied(cluster: Cluster, node: str, ack: str) -> v1.ApplyResponse | RpcError:
    async with cluster.channel(node) as channel:
        try:
            return await channel.unary(NODE_APPLY, v1.ApplyRequest(property=prop("n/1"), ack=ack), timeout=10)
        except RpcError as error:
            return error


@pytest.mark.parametrize("node", ["a", "c"])
async def test_a_write_that_too_few_have_room_for_is_refused_as_such(
    node: str, autojump_clock: object
) -> None:
    """No other node could help, whether the node that was asked is full itself or not."""
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        for full in "ab":
            cluster.stores[full].set_full(True)
        refused = await applied(cluster, node, "quorum")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert "quorum needs 2; not: a (no space left" in refused.message
        for room in "ab":
            cluster.stores[room].set_full(False)
        assert isinstance(await applied(cluster, node, "quorum"), v1.ApplyResponse)
        cluster.stop()


async def test_with_one_down_and_one_full_the_cluster_is_not_there(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["b"].set_full(True)
        assert isinstance(await applied(cluster, "a", "quorum"), v1.ApplyResponse)
        cluster.kill("c")
        await cluster.ended["c"].wait()
        refused = await applied(cluster, "a", "quorum")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.UNAVAILABLE
        assert "b (no space left" in refused.message
        cluster.stop()


async def test_this_node_alone_being_full_is_told_at_once(autojump_clock: object) -> None:
    cluster = Cluster()
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery)
        cluster.stores["a"].set_full(True)
        refused = await applied(cluster, "a", "local")
        assert isinstance(refused, RpcError)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert isinstance(await applied(cluster, "a", "quorum"), v1.ApplyResponse)
        cluster.stop()


# Slow replicas


@pytest.mark.slow
async def test_a_hanging_replica_delays_no_quorum(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await put(cluster, "a", x=1)
        cluster.hang("c")
        began = trio.current_time()
        for value in range(5):
            await put(cluster, "a", x=value)
            assert await tags_at(cluster, "b") == {"x": value}
        assert trio.current_time() == began


@pytest.mark.slow
async def test_a_hanging_replica_costs_one_timeout_and_is_avoided_until_it_answers(
    autojump_clock: object,
) -> None:
    """It is avoided while the other two replicas are enough."""
    cluster = Cluster(names=("a", "b", "c", "d"), groups=("sw:1:3",))
    async with running(cluster):
        shards = cluster.nodes["a"].parts.local.shards
        holders = shards.replicas(shards.shard_of(N1))
        (outsider,) = set(cluster.names) - set(holders)
        hung = holders[0]
        await put(cluster, outsider, x=1)
        cluster.hang(hung)
        await put(cluster, outsider, x=2)
        await trio.sleep(REPLICA_SECONDS + 0.1)
        peer = cluster.parts(outsider).members.peers[hung]
        assert peer.state == "down"
        asked: list[object] = []
        start = peer.link.start

        def watched(request: ReplicaRequest, told: TakeAnswer, *, timeout: float) -> Asked:
            asked.append(request)
            return start(request, told, timeout=timeout)

        peer.link.start = watched  # type: ignore[method-assign]
        await put(cluster, outsider, x=3)
        assert asked == []
        cluster.faults.heal()
        await trio.sleep(HELLO_MAX_SECONDS + HELLO_TIMEOUT_SECONDS)
        assert peer.state == "up"
        assert (await put(cluster, outsider, ack="all", x=4)).acknowledged == 3


async def test_a_needed_replica_is_asked_although_it_hung(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.hang("c")
        await put(cluster, "a", x=1)
        await trio.sleep(REPLICA_SECONDS + 0.1)
        cluster.kill("b")
        await cluster.ended["b"].wait()
        with pytest.raises(TooFewReplicasError, match="1 of 3"):
            await put(cluster, "a", x=2)
        cluster.faults.heal()
        # It answers before the next hello.
        began = trio.current_time()
        await put(cluster, "a", x=2)
        assert trio.current_time() - began < 1


@pytest.mark.slow
async def test_a_caller_whose_time_is_shorter_than_a_hanging_replica_is_told_in_time(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster, cluster.channel("a") as channel:
        cluster.hang("b")
        cluster.hang("c")
        for method, request in (
            (NODE_APPLY, v1.ApplyRequest(property=prop("n/1", x=1))),
            (NODE_GET, v1.GetRequest(group="sw", name="n", id="1")),
            (NODE_DELETE, v1.DeleteRequest(group="sw", name="n", id="1")),
        ):
            began = trio.current_time()
            with pytest.raises(RpcError) as caught:
                await channel.unary(method, request, timeout=0.5)
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            assert trio.current_time() - began == pytest.approx(0.5, abs=0.01)
        # The record is not locked any more.
        cluster.faults.heal()
        await trio.sleep(HELLO_MAX_SECONDS + HELLO_TIMEOUT_SECONDS)
        assert (await put(cluster, "a", x=1)).created


async def test_the_error_says_of_each_replica_what_it_did(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        cluster.hang("b")
        cluster.hang("c")
        with pytest.raises(TooFewReplicasError) as caught:
            await put(cluster, "a", x=1)
    assert str(caught.value) == (
        "sw/0: 1 of 3 replicas answered, quorum needs 2; "
        "not: b (no answer within 2 s), c (no answer within 2 s)"
    )


async def test_too_few_is_unavailable_to_a_client(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster, cluster.channel("a") as channel:
        await cluster.isolate("a")
        with pytest.raises(RpcError, match=r"1 of 3 replicas answered, .*; not: b .*, c ") as caught:
            await channel.unary(NODE_APPLY, v1.ApplyRequest(property=prop("n/1", x=1)), timeout=5)
        assert caught.value.status is Status.UNAVAILABLE


async def test_a_refusal_for_want_of_room_on_our_side_says_nothing_of_a_peer(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that hangs is not taken for one that answers because our queue to it is full."""
    async with running(Cluster()) as cluster:
        cluster.hang("c")
        await put(cluster, "a", x=1)
        await trio.sleep(REPLICA_SECONDS + 0.1)
        cluster.kill("b")
        await cluster.ended["b"].wait()
        await trio.sleep(1)
        peer = cluster.parts("a").members.peers["c"]
        assert peer.state == "down"
        monkeypatch.setattr(exchange_link, "EXCHANGE_UNDER_WAY_BYTES", 0)
        with pytest.raises(TooFewReplicasError):
            await put(cluster, "a", x=2)
        assert peer.state == "down"
