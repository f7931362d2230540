"""An application under Trio, and its tests: minutes of a cluster's life in a moment.

Needs pytest-trio, and in conftest.py: pytest_plugins = ["gossipnode.sim.pytest_plugin"]
"""

import pytest
import trio
from trio.testing import MockClock

from gossipnode.client import Client, UnreachableError
from gossipnode.sim.testing import VirtualCluster

pytestmark = [pytest.mark.trio, pytest.mark.gossipnode(nodes=3, groups=["services:1:3"])]

# The application


async def keep_announced(client: Client, service: str) -> None:
    """Write a heartbeat every ten seconds, and try again after five when it could not be written."""
    beats = 0
    while True:
        try:
            await client.apply("services", "web", service, {"beats": beats})
        except UnreachableError:
            await trio.sleep(5)
        else:
            beats += 1
            await trio.sleep(10)


async def beats_of(client: Client, service: str) -> int:
    found = await client.get("services", "web", service)
    return found.tags["beats"] if found else 0


# Its tests


async def test_heartbeats_go_on_without_one_node(
    virtual_cluster: VirtualCluster, autojump_clock: MockClock
) -> None:
    async with virtual_cluster.connect() as client, trio.open_nursery() as nursery:
        nursery.start_soon(keep_announced, client, "web-1")
        await trio.sleep(60)
        before = await beats_of(client, "web-1")

        await virtual_cluster.faults.crash("a")
        await trio.sleep(60)
        assert await beats_of(client, "web-1") >= before + 5
        nursery.cancel_scope.cancel()


async def test_heartbeats_come_back_when_a_majority_does(
    virtual_cluster: VirtualCluster, autojump_clock: MockClock
) -> None:
    async with virtual_cluster.connect() as client, trio.open_nursery() as nursery:
        nursery.start_soon(keep_announced, client, "web-1")
        await virtual_cluster.faults.cut_off("b")
        await virtual_cluster.faults.cut_off("c")
        await trio.sleep(600)
        with pytest.raises(UnreachableError):
            await beats_of(client, "web-1")

        await virtual_cluster.faults.heal()
        await trio.sleep(60)
        assert await beats_of(client, "web-1") > 0
        nursery.cancel_scope.cancel()
