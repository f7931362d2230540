"""An application under asyncio, and its tests: against nodes that are really dialled.

Needs in conftest.py: pytest_plugins = ["gossipnode.sim.pytest_plugin"]
"""

import asyncio

import pytest

from gossipnode.client import Client, UnreachableError, connect
from gossipnode.sim.testing import LoopbackCluster

pytestmark = pytest.mark.gossipnode(nodes=3, groups=["flags:1:3"])

# The application


class Flags:
    """Feature flags, which keep their last known value while the cluster cannot be asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, bool] = {}

    async def switch(self, flag: str, on: bool) -> None:
        await self._client.apply("flags", "web", flag, {"on": int(on)})

    async def is_on(self, flag: str) -> bool:
        try:
            found = await self._client.get("flags", "web", flag)
        except UnreachableError:
            return self._known.get(flag, False)
        self._known[flag] = bool(found and found.tags["on"])
        return self._known[flag]


# Its tests


def test_a_flag_outlives_the_node_that_it_was_written_to(loopback_cluster: LoopbackCluster) -> None:
    async def work() -> None:
        async with connect(*loopback_cluster.addresses) as client:
            flags = Flags(client)
            await flags.switch("dark-mode", True)
            loopback_cluster.faults.crash("a")
            assert await flags.is_on("dark-mode")

    asyncio.run(work())


def test_the_last_known_value_counts_until_the_cluster_is_back(loopback_cluster: LoopbackCluster) -> None:
    async def work() -> None:
        async with connect(*loopback_cluster.addresses, timeout=1.0) as client:
            flags = Flags(client)
            await flags.switch("dark-mode", True)
            assert await flags.is_on("dark-mode")

            for name in loopback_cluster.names:
                loopback_cluster.faults.cut_off(name)
            assert await flags.is_on("dark-mode")

            loopback_cluster.faults.heal()
            await asyncio.to_thread(loopback_cluster.faults.settle)
            await flags.switch("dark-mode", False)
            assert not await flags.is_on("dark-mode")

    asyncio.run(work())
