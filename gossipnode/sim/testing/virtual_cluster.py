"""A cluster in virtual time, in the Trio loop of the test, on a network in memory."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeVar

import trio
import trio.testing

from gossipnode.client import Client
from gossipnode.client.cluster_client import open_client
from gossipnode.client.transport.trio_transport import TrioTransport
from gossipnode.client.values import given
from gossipnode.client.values.defaults import DEFAULT_TIMEOUT_SECONDS
from gossipnode.config.address import Address
from gossipnode.rpc import Channel
from gossipnode.sim.cluster import Cluster
from gossipnode.sim.faults import FaultyNetwork
from gossipnode.sim.testing.fault_injector import (
    CLIENTS,
    DEFAULT_NODES,
    ClusterError,
    FaultInjector,
    check_ended_well,
    node_names,
    start_nodes,
)

Result = TypeVar("Result")


class VirtualCluster:
    """A cluster in virtual time, as a test has it. Made by `virtual_cluster`."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        """Show `cluster`, whose nodes run in `nursery`."""
        self.simulated = cluster
        """The nodes themselves, for what this class does not show: rounds, stores, what a node knows."""
        self.names = tuple(cluster.names)
        """The names of the nodes: a, b, c and so on."""
        self.faults = FaultInjector(cluster, nursery)
        """What can be done to the nodes. Each method is awaited."""
        self._rng = random.Random(0)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all nodes, for `connect`. They exist in this cluster alone."""
        return tuple(self.address(name) for name in self.names)

    def address(self, name: str) -> str:
        """The address of a node, for `connect`."""
        return str(self.simulated.address(name))

    def connect(
        self, *addresses: str, timeout: float = DEFAULT_TIMEOUT_SECONDS
    ) -> AbstractAsyncContextManager[Client]:
        """A client, as `gossipnode.client.connect` gives it; of all nodes, if no addresses are given.

        An application that connects by itself can be handed this method to do it with.
        """
        wanted = given.addresses(addresses or self.addresses)
        # Each client draws from its own, as no two of them may give their requests the same ids.
        rng = random.Random(self._rng.getrandbits(64))
        return open_client(wanted, given.timeout(timeout), self._open_transport, rng)

    @asynccontextmanager
    async def _open_transport(self, address: Address) -> AsyncGenerator[TrioTransport]:
        network = FaultyNetwork(self.simulated.network, self.simulated.faults, CLIENTS)
        dial = partial(network.connect, address)
        async with Channel(dial, authority=str(address), rng=random.Random(str(address))) as channel:
            yield TrioTransport(channel)


@asynccontextmanager
async def virtual_cluster(
    nodes: int = DEFAULT_NODES, groups: Sequence[str] = ()
) -> AsyncGenerator[VirtualCluster]:
    """A cluster of `nodes` nodes, which runs for as long as the block does.

    `groups` are NAME:SHARDS:REPLICAS each, as for `gossipnode run --group`; a test may also create its own.

    Raises:
        ClusterError: time is not virtual, a node has not started, or one has stopped by itself.
        SettingsError: a group is wrong.
    """
    if not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
        raise ClusterError(
            "time is not virtual: have the test ask for the fixture autojump_clock too, "
            "or run its code by gossipnode.sim.testing.run_in_virtual_time"
        )
    cluster = Cluster(node_names(nodes), groups, keeps_errors=True)
    cluster.settings(cluster.names[0])  # a wrong group is an error of its own, and not one in a nursery
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            await start_nodes(cluster, nursery, *cluster.names)
            yield VirtualCluster(cluster, nursery)
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below, and not inside a group
            failure = error
        finally:
            cluster.faults.heal()
            cluster.stop()
    if failure is not None:
        raise failure
    check_ended_well(cluster)


def run_in_virtual_time(work: Callable[..., Awaitable[Result]], *arguments: object) -> Result:
    """Run an async function under Trio, in a time that leaps ahead whenever everything waits.

    What the function waits for must be in this loop: a thread, a process or a real socket is given no time.
    """
    return trio.run(work, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))
