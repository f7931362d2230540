"""Clusters in a thread of their own, which applications under asyncio reach by TCP."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import trio

from gossipnode.client import Client, UnreachableError, connect
from gossipnode.config.settings import SettingsError
from gossipnode.sim.testing import ClusterError, LoopbackCluster, loopback_cluster
from gossipnode.sim.testing.loopback_cluster import ClusterThread
from gossipnode.sim.testing.loopback_nodes import LoopbackNodes
from tests.client.support import run

KEY = ("g", "n", "i")


@pytest.fixture
def cluster() -> Iterator[LoopbackCluster]:
    with loopback_cluster(groups=["g:1:3"]) as made:
        yield made


def with_client(
    work: Callable[[Client], Awaitable[None]],
    *addresses: str,
    backend: str = "asyncio",
    timeout: float = 10.0,
) -> None:
    """Run the work of a test with a client of these addresses."""

    async def connected() -> None:
        async with connect(*addresses, timeout=timeout) as client:
            await work(client)

    run(backend, connected)


def dials(address: str) -> bool:
    """Whether somebody listens at an address."""
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_writes_and_reads(cluster: LoopbackCluster, backend: str) -> None:
    async def work(client: Client) -> None:
        await client.apply(*KEY, {"x": 1})
        found = await client.get(*KEY)
        assert found is not None
        assert abs(found.updated_at.seconds - time.time()) < 60
        assert [member.address for member in await client.members()] == list(cluster.addresses)

    assert cluster.names == ("a", "b", "c")
    assert len(set(cluster.addresses)) == 3
    with_client(work, *cluster.addresses, backend=backend)


def test_all_nodes_know_each_other_when_the_test_begins(cluster: LoopbackCluster) -> None:
    async def work() -> None:
        for address in cluster.addresses:
            async with connect(address) as client:
                assert [member.state for member in await client.members()] == ["up"] * 3

    asyncio.run(work())


def test_a_crashed_node_refuses_and_comes_back_at_its_address_with_its_data(cluster: LoopbackCluster) -> None:
    async def work(client: Client) -> None:
        await client.apply(*KEY, {"x": 1}, ack="all")
        cluster.faults.crash("a")
        assert [dials(address) for address in cluster.addresses] == [False, True, True]
        assert await client.get(*KEY) is not None
        cluster.faults.restart("a")
        async with connect(cluster.address("a")) as of_a:
            assert await of_a.get(*KEY, ack="local") is not None

    with_client(work, *cluster.addresses)


def test_a_node_that_stops_and_starts(cluster: LoopbackCluster) -> None:
    cluster.faults.stop("b")
    assert not dials(cluster.address("b"))
    cluster.faults.restart("b")
    cluster.faults.settle()
    assert dials(cluster.address("b"))


@pytest.mark.slow
def test_clients_lose_a_node_that_is_cut_off_until_it_is_healed(cluster: LoopbackCluster) -> None:
    async def work(client: Client) -> None:
        await client.apply(*KEY, {"x": 1})
        cluster.faults.cut_off("a")
        with pytest.raises(UnreachableError):
            await client.members()
        cluster.faults.heal()
        cluster.faults.settle()
        assert await client.get(*KEY) is not None

    with_client(work, cluster.address("a"), timeout=1.0)


@pytest.mark.slow
def test_clients_reach_both_sides_of_a_split(cluster: LoopbackCluster) -> None:
    async def work(client: Client) -> None:
        cluster.faults.split("a")
        with pytest.raises(UnreachableError, match="replicas"):
            await client.apply(*KEY, {"x": 1})
        await client.apply(*KEY, {"x": 2}, ack="one")

    with_client(work, cluster.address("a"), timeout=1.0)


@pytest.mark.slow
def test_a_node_that_hangs_and_one_that_is_slow(cluster: LoopbackCluster) -> None:
    async def work(client: Client) -> None:
        await client.members()
        cluster.faults.hang("a")
        with pytest.raises(UnreachableError):
            await client.members()
        cluster.faults.heal()
        await client.members()
        cluster.faults.slow("a", 0.1)
        begun = time.monotonic()
        await client.members()
        assert time.monotonic() - begun >= 0.2

    with_client(work, cluster.address("a"), timeout=1.0)


def test_what_cannot_be_done_is_refused_in_the_thread_of_the_test(cluster: LoopbackCluster) -> None:
    with pytest.raises(ClusterError, match=r"^there is no node 'x': the nodes are a, b, c$"):
        cluster.faults.crash("x")
    with pytest.raises(ClusterError, match=r"^node a runs already"):
        cluster.faults.restart("a")


def test_nothing_is_left_when_the_block_ends() -> None:
    before = threading.enumerate()
    with suppress(ZeroDivisionError), loopback_cluster(groups=["g:1:1"]) as cluster:
        cluster.faults.crash("b")
        assert threading.enumerate() != before
        raise ZeroDivisionError
    assert threading.enumerate() == before
    assert not any(dials(address) for address in cluster.addresses)
    with pytest.raises(ClusterError, match="the cluster has ended"):
        cluster.faults.restart("b")


def test_two_clusters_know_nothing_of_each_other(cluster: LoopbackCluster) -> None:
    async def work(client: Client) -> None:
        await client.apply(*KEY, {"x": 1})
        async with connect(*other.addresses) as of_other:
            assert await of_other.get(*KEY) is None

    with loopback_cluster(1, ["g:1:1"]) as other:
        assert other.names == ("a",)
        with_client(work, *cluster.addresses)


def test_a_port_that_is_held_is_given_to_nobody_else_and_refuses(cluster: LoopbackCluster) -> None:
    cluster.faults.crash("a")
    port = int(cluster.address("a").rpartition(":")[2])
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", port))


def test_a_node_that_cannot_come_back_says_why_and_the_others_go_on(cluster: LoopbackCluster) -> None:
    cluster.faults.crash("a")
    with taken(cluster.address("a")):
        with pytest.raises(ClusterError, match=r"^node a has not started: .*in use"):
            cluster.faults.restart("a")
    assert dials(cluster.address("b"))
    cluster.faults.restart("a")
    assert dials(cluster.address("a"))


def taken(address: str) -> socket.socket:
    """Somebody else's socket, which listens there."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    other.bind(("127.0.0.1", int(address.rpartition(":")[2])))
    other.listen()
    return other


def test_a_cluster_that_cannot_start_says_which_node_and_leaves_no_thread() -> None:
    before = threading.enumerate()
    with cluster_thread("a", "b") as thread, taken(str(thread.nodes.address("b"))):
        with pytest.raises(ClusterError, match=r"^node b has not started: .*in use"):
            thread.start()
    assert threading.enumerate() == before


@contextmanager
def cluster_thread(*names: str) -> Iterator[ClusterThread]:
    """A thread that has not been started."""
    nodes = LoopbackNodes(names, keeps_errors=True)
    nodes.open_doors()
    yield ClusterThread(nodes)
    nodes.close_doors()


def test_wrong_arguments_are_told_as_they_are() -> None:
    with pytest.raises(SettingsError, match="g:many"):
        with loopback_cluster(groups=["g:many"]):
            pass
    with pytest.raises(ClusterError, match="nodes=0"):
        with loopback_cluster(0):
            pass


def test_a_node_that_stopped_by_itself_is_told_at_the_end() -> None:
    with cluster_thread("a") as thread:
        thread.start()
        thread.ask(in_thread(thread.nodes.stores["a"].crash))
        thread.ask(thread.nodes.ended["a"].wait)
        with pytest.raises(ClusterError, match=r"^stopped by themselves: a: the store has crashed$"):
            thread.end()


def test_a_thread_that_ended_by_an_error_is_told_at_the_end() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with cluster_thread("a") as thread:
        thread.start()
        thread.ask(in_thread(lambda: thread.faults._nursery.start_soon(fail)))
        with pytest.raises(ClusterError, match=r"^the cluster has ended by itself: ZeroDivisionError"):
            thread.end()


def in_thread(work: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """The same as an async function, to be run in the cluster's thread."""

    async def working() -> None:
        work()
        await trio.lowlevel.checkpoint()

    return working


def test_code_under_asyncio_goes_on_while_a_fault_is_awaited(cluster: LoopbackCluster) -> None:
    async def work() -> None:
        done = asyncio.create_task(asyncio.to_thread(cluster.faults.restart, "a"))
        async with connect(*cluster.addresses) as client:
            assert await client.members()
        await done

    cluster.faults.crash("a")
    asyncio.run(work())
    assert dials(cluster.address("a"))
