"""Clusters in virtual time, as the test of an application has them."""

from __future__ import annotations

import time

import pytest
import trio

from gossipnode.client import InvalidInputError, NoNodeError, connect
from gossipnode.config.settings import SettingsError
from gossipnode.sim.testing import ClusterError, VirtualCluster, run_in_virtual_time, virtual_cluster

GROUPS = ("g:1:3",)


async def test_a_client_writes_and_reads(autojump_clock: object) -> None:
    async with virtual_cluster(groups=GROUPS) as cluster:
        assert cluster.names == ("a", "b", "c")
        assert cluster.addresses == ("a:7400", "b:7400", "c:7400")
        async with cluster.connect() as client:
            await client.apply("g", "n", "i", {"x": 1})
            assert [member.address for member in await client.members()] == list(cluster.addresses)
        async with cluster.connect(cluster.address("c")) as client:
            found = await client.get("g", "n", "i")
            assert found is not None
            assert found.tags == {"x": 1}
    assert not cluster.simulated.running


async def test_all_nodes_know_each_other_when_the_block_begins(autojump_clock: object) -> None:
    async with virtual_cluster() as cluster:
        for address in cluster.addresses:
            async with cluster.connect(address) as client:
                assert [member.state for member in await client.members()] == ["up"] * 3


async def test_clients_of_one_cluster_give_their_writes_different_ids(autojump_clock: object) -> None:
    """A second write with the id of the first would count as the first, told again."""
    async with virtual_cluster(groups=GROUPS) as cluster:
        for number in range(3):
            async with cluster.connect() as client:
                await client.apply("g", "n", "i", {"x": number})
                found = await client.get("g", "n", "i")
                assert found is not None
                assert found.tags == {"x": number}


async def test_the_number_of_nodes_is_given(autojump_clock: object) -> None:
    async with virtual_cluster(2) as cluster, cluster.connect() as client:
        assert cluster.names == ("a", "b")
        assert [member.name for member in await client.members()] == list(cluster.names)
        created = await client.create_group("made", replicas=2)
        assert created.members == 2


@pytest.mark.parametrize("nodes", [0, 27, -1])
async def test_a_number_of_nodes_that_cannot_be(autojump_clock: object, nodes: int) -> None:
    with pytest.raises(ClusterError, match=f"nodes={nodes}: a cluster has from 1 to 26 nodes"):
        async with virtual_cluster(nodes):
            pass


async def test_a_wrong_group_is_told_as_it_is(autojump_clock: object) -> None:
    with pytest.raises(SettingsError, match="g:many"):
        async with virtual_cluster(groups=["g:many"]):
            pass


async def test_wrong_arguments_of_connect_are_told_at_once(autojump_clock: object) -> None:
    async with virtual_cluster(1) as cluster:
        with pytest.raises(InvalidInputError):
            cluster.connect("no address")
        with pytest.raises(InvalidInputError):
            cluster.connect(timeout=-1)


async def test_an_address_of_nobody_is_not_reached(autojump_clock: object) -> None:
    async with virtual_cluster(1) as cluster, cluster.connect("x:7400", timeout=1.0) as client:
        with pytest.raises(NoNodeError):
            await client.members()


async def test_without_virtual_time_a_test_is_told_what_to_do() -> None:
    with pytest.raises(ClusterError, match="autojump_clock"):
        async with virtual_cluster():
            pass


@pytest.mark.slow
def test_an_hour_passes_at_once() -> None:
    """The wall clock of the nodes goes with it."""

    async def work(group: str) -> float:
        async with virtual_cluster(1, [f"{group}:1:1"]) as cluster, cluster.connect() as client:
            first = await client.apply(group, "n", "1", {"x": 1})
            await trio.sleep(3600)
            second = await client.apply(group, "n", "2", {"x": 1})
            return second.property.updated_at.seconds - first.property.updated_at.seconds

    begun = time.monotonic()
    assert run_in_virtual_time(work, "g") == 3600
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt])
async def test_an_error_of_the_test_leaves_by_its_own_kind(
    autojump_clock: object, kind: type[BaseException]
) -> None:
    """Not inside an exception group: `pytest.raises` around the block finds it."""
    with pytest.raises(kind):
        async with virtual_cluster(1) as cluster:
            raise kind
    assert not cluster.simulated.running


async def test_the_test_may_be_cancelled(autojump_clock: object) -> None:
    with trio.move_on_after(5) as scope:
        async with virtual_cluster(1) as cluster:
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert not cluster.simulated.running


async def test_a_node_that_stopped_by_itself_is_told_at_the_end(autojump_clock: object) -> None:
    with pytest.raises(ClusterError, match="stopped by themselves: b: the store has crashed"):
        async with virtual_cluster() as cluster:
            await fail_store(cluster, "b")


async def test_a_fault_at_a_node_that_stopped_by_itself_says_why_it_is_gone(autojump_clock: object) -> None:
    async with virtual_cluster() as cluster:
        await fail_store(cluster, "b")
        with pytest.raises(ClusterError, match=r"^node b does not run: the store has crashed$"):
            await cluster.faults.crash("b")
        await cluster.faults.restart("b")


async def fail_store(cluster: VirtualCluster, name: str) -> None:
    cluster.simulated.stores[name].crash()
    await cluster.simulated.ended[name].wait()


def test_the_client_of_the_package_does_not_reach_a_virtual_cluster() -> None:
    """As the page says: an application that connects by itself is handed the cluster's `connect`."""

    async def work() -> None:
        async with virtual_cluster(1) as cluster, connect("127.0.0.1:1", timeout=1.0) as client:
            assert cluster.address("a") == "a:7400"
            with pytest.raises(NoNodeError):
                await client.members()

    run_in_virtual_time(work)
