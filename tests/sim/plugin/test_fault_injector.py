"""What the faults do to nodes, and what clients see of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio

from gossipnode.client import Client, NoNodeError, UnreachableError
from gossipnode.sim.testing import ClusterError, VirtualCluster, virtual_cluster
from tests.node.cluster import versions
from tests.records import entity

KEY = ("g", "n", "i")


@pytest.fixture
async def cluster(autojump_clock: object) -> AsyncGenerator[VirtualCluster]:
    async with virtual_cluster(groups=["g:1:3"]) as made:
        yield made


async def value(client: Client) -> object:
    found = await client.get(*KEY)
    return found and found.tags["x"]


async def test_a_crashed_node_refuses_and_has_its_data_when_it_is_back(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("a:7400", timeout=1.0) as client:
        await client.apply(*KEY, {"x": 1}, ack="all")
        await cluster.faults.crash("a")
        with pytest.raises(NoNodeError):
            await value(client)
        await cluster.faults.restart("a")
        found = await client.get(*KEY, ack="local")
        assert found is not None


async def test_a_client_of_all_nodes_does_not_notice_a_crash(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect() as client:
        await client.apply(*KEY, {"x": 1})
        await cluster.faults.crash("a")
        assert await value(client) == 1


async def test_a_node_that_stops_in_order_ends_the_call_that_it_has(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("a:7400") as client, trio.open_nursery() as nursery:
        # It waits for the replicas in the middle of a call.
        await cluster.faults.slow("b", 0.4)
        await cluster.faults.slow("c", 0.4)
        nursery.start_soon(value, client)
        await trio.sleep(0.2)
        await cluster.faults.stop("a")
        assert "a" not in cluster.simulated.running
    await cluster.faults.restart("a")
    assert "a" in cluster.simulated.running


async def test_a_node_that_is_cut_off_reaches_nobody_and_nobody_reaches_it(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("c:7400", timeout=1.0) as of_c, cluster.connect("a:7400") as of_a:
        await of_c.apply(*KEY, {"x": 1}, ack="all")
        await cluster.faults.cut_off("c")
        with pytest.raises(UnreachableError):
            await value(of_c)
        await of_a.apply(*KEY, {"x": 2})
        of_each = await versions(cluster.simulated, entity("n/i", "g"))
        assert of_each[0] == of_each[1] > of_each[2]
        await cluster.faults.heal()
        assert await value(of_c) == 2


async def test_the_smaller_side_of_a_split_refuses_a_quorum_and_clients_reach_both(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("c:7400", timeout=5.0) as of_c, cluster.connect("a:7400") as of_a:
        await cluster.faults.split("c")
        await of_a.apply(*KEY, {"x": 1})
        with pytest.raises(UnreachableError, match="replicas"):
            await value(of_c)
        assert [member.name for member in await of_c.members()] == ["a", "b", "c"]
        await cluster.faults.heal()
        await cluster.faults.settle()
        assert await value(of_c) == 1


async def test_a_node_that_hangs_takes_connections_and_says_nothing(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("b:7400", timeout=10.0) as of_b, cluster.connect() as of_all:
        await cluster.faults.hang("b")
        begun = trio.current_time()
        with pytest.raises(UnreachableError):
            await of_b.members()
        assert trio.current_time() - begun == pytest.approx(10.0, abs=0.1)
        await of_all.apply(*KEY, {"x": 1})
        await cluster.faults.heal()
        assert await value(of_b) == 1


async def test_a_slow_node_answers_later_by_as_much_there_and_back(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    async with cluster.connect("a:7400") as client:
        await client.members()
        await cluster.faults.slow("a", 1.5)
        begun = trio.current_time()
        await client.members()
        assert trio.current_time() - begun == pytest.approx(3.0, abs=0.1)
        await cluster.faults.heal()
        begun = trio.current_time()
        await client.members()
        assert trio.current_time() - begun < 0.1


async def test_settle_waits_until_the_nodes_have_seen_who_is_back(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    await cluster.faults.split("c")
    await trio.sleep(60)
    await cluster.faults.heal()
    await cluster.faults.settle()
    for name in cluster.names:
        peers = cluster.simulated.parts(name).members.peers.values()
        assert [peer.state for peer in peers] == ["up", "up"]


async def test_settle_says_who_does_not_see_whom(cluster: VirtualCluster, autojump_clock: object) -> None:
    await cluster.faults.crash("b")
    await cluster.faults.settle()
    await cluster.faults.split("c")
    await trio.sleep(60)
    with pytest.raises(
        ClusterError, match=r"^after 60 seconds, a does not see c, c does not see a: are ways"
    ):
        await cluster.faults.settle()


async def test_what_cannot_be_done_is_refused_with_its_reason(
    cluster: VirtualCluster, autojump_clock: object
) -> None:
    faults = cluster.faults
    await faults.crash("c")
    for work, reason in [
        (lambda: faults.crash("x"), "there is no node 'x': the nodes are a, b, c"),
        (lambda: faults.stop("c"), "node c does not run"),
        (lambda: faults.crash("c"), "node c does not run"),
        (lambda: faults.restart("a"), "node a runs already: crash or stop it first"),
        (lambda: faults.restart("x"), "there is no node 'x': the nodes are a, b, c"),
        (lambda: faults.cut_off("x"), "there is no node 'x': the nodes are a, b, c"),
        (lambda: faults.split("x"), "there is no node 'x': the nodes are a, b, c"),
        (lambda: faults.split(), "split needs at least one node on each side"),
        (lambda: faults.split("a", "b", "c"), "split needs at least one node on each side"),
        (lambda: faults.hang("x"), "there is no node 'x': the nodes are a, b, c"),
        (lambda: faults.slow("a", -1), "slow: -1 is no number of seconds"),
        (lambda: faults.slow("a", float("nan")), "slow: nan is no number of seconds"),
    ]:
        with pytest.raises(ClusterError) as raised:
            await work()
        assert str(raised.value) == reason
