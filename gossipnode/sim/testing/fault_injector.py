"""What can be done to the nodes of a cluster that an application is tested with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import trio

from gossipnode.sim.cluster import Cluster
from gossipnode.sim.faults import Direction

CLIENTS = "the clients"
"""Stands for all clients where `Faults` wants the name of a node. No node has a name with a space in it."""

NODES_MAX = 26
"""Nodes are named by letters."""

DEFAULT_NODES = 3

SETTLE_SECONDS = 60.0
"""How long `FaultInjector.settle` waits. A member that was away is asked again after some ten seconds."""

LOOK_SECONDS = 0.05
"""How often `FaultInjector.settle` looks."""


class ClusterError(Exception):
    """A cluster that a test uses cannot do what was asked of it; the text says why."""


def node_names(count: int) -> tuple[str, ...]:
    """The names of `count` nodes: a, b, c and so on.

    Raises:
        ClusterError: `count` is too small or too large.
    """
    if not 1 <= count <= NODES_MAX:
        raise ClusterError(f"nodes={count}: a cluster has from 1 to {NODES_MAX} nodes")
    return tuple(chr(ord("a") + number) for number in range(count))


class FaultInjector:
    """Lets nodes crash and come back, and spoils the ways between them and to the clients.

    What is stored outlives a crash, as on a disk. Every method takes the names of nodes, such as "b".

    Raises, from every method:
        ClusterError: there is no such node, or it is not in a state in which this can be done.
    """

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        """Act on `cluster`, whose nodes run in `nursery`."""
        self._cluster = cluster
        self._nursery = nursery

    # Nodes

    async def crash(self, name: str) -> None:
        """End a node at once, as `kill -9` would. Connections break, and new ones are refused."""
        self._check_runs(name)
        await self._cluster.end(name)

    async def stop(self, name: str) -> None:
        """Stop a node in order, as SIGTERM would: calls that run may finish. Takes up to ten seconds."""
        self._check_runs(name)
        self._cluster.nodes[name].request_drain()
        await self._cluster.ended[name].wait()

    async def restart(self, name: str) -> None:
        """Start a node again that has crashed or stopped, with all that it had stored. Waits until it serves.

        Raises:
            ClusterError: it has not started.
        """
        self._check_name(name)
        if name in self._cluster.running:
            raise ClusterError(f"node {name} runs already: crash or stop it first")
        await start_nodes(self._cluster, self._nursery, name)

    # Ways

    async def cut_off(self, name: str) -> None:
        """Cut a node off from all other nodes and from the clients, until `heal`. Connections break."""
        self._check_name(name)
        await self._cluster.faults.cut(*self._ways_of(name))

    async def split(self, *names: str) -> None:
        """Part these nodes from all the others, until `heal`. Clients reach both sides."""
        for name in names:
            self._check_name(name)
        others = [name for name in self._cluster.names if name not in names]
        if not names or not others:
            raise ClusterError("split needs at least one node on each side")
        await self._cluster.faults.cut(*_ways(names, others))

    async def hang(self, name: str) -> None:
        """Let a node take connections and say nothing, to nodes and to clients, until `heal`."""
        self._check_name(name)
        self._cluster.faults.hold(*self._ways_of(name))
        await trio.lowlevel.checkpoint()

    async def slow(self, name: str, seconds: float) -> None:
        """Let all that goes to a node, and all that comes from it, arrive so much later, until `heal`."""
        self._check_name(name)
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ClusterError(f"slow: {seconds} is no number of seconds")
        self._cluster.faults.delay(seconds, *self._ways_of(name))
        await trio.lowlevel.checkpoint()

    async def heal(self) -> None:
        """Mend all ways. Nodes that have crashed or stopped stay so until `restart`."""
        self._cluster.faults.heal()
        await trio.lowlevel.checkpoint()

    async def settle(self) -> None:
        """Wait until each node that runs has heard from every other one that runs, for up to a minute.

        Raises:
            ClusterError: some node has not; the text says which.
        """
        with trio.move_on_after(SETTLE_SECONDS):
            while self._strangers():  # noqa: ASYNC110 - no one event tells what all nodes see
                await trio.sleep(LOOK_SECONDS)
        if strangers := self._strangers():
            raise ClusterError(
                f"after {SETTLE_SECONDS:g} seconds, {', '.join(strangers)}: are ways still cut?"
            )

    def _strangers(self) -> list[str]:
        """Who does not take whom for up, of those that run."""
        running = sorted(self._cluster.running)
        return [
            f"{name} does not see {other}"
            for name in running
            for other in running
            if other != name and not self._sees(name, other)
        ]

    def _sees(self, name: str, other: str) -> bool:
        peer = self._cluster.parts(name).members.peers.get(other)
        return peer is not None and peer.state == "up"

    def _ways_of(self, name: str) -> list[Direction]:
        others = [other for other in self._cluster.names if other != name]
        return _ways([name], [*others, CLIENTS])

    def _check_name(self, name: str) -> None:
        if name not in self._cluster.names:
            raise ClusterError(f"there is no node {name!r}: the nodes are {', '.join(self._cluster.names)}")

    def _check_runs(self, name: str) -> None:
        self._check_name(name)
        if name not in self._cluster.running:
            why = self._cluster.errors.get(name)
            raise ClusterError(f"node {name} does not run" + (f": {why}" if why else ""))


def _ways(names: Sequence[str], others: Iterable[str]) -> list[Direction]:
    """All ways between two sides, both there and back."""
    return [way for other in others for name in names for way in ((name, other), (other, name))]


async def start_nodes(cluster: Cluster, nursery: trio.Nursery, *names: str) -> None:
    """Start nodes of a cluster that keeps errors, one after the other.

    Raises:
        ClusterError: a node has not started; the text says which, and why.
    """
    for name in names:
        cluster.errors.pop(name, None)
        try:
            await cluster.start(nursery, name)
        except RuntimeError:
            if name not in cluster.errors:
                raise
            raise ClusterError(f"node {name} has not started: {cluster.errors.pop(name)}") from None


def check_ended_well(cluster: Cluster) -> None:
    """Say so if a node has stopped by itself meanwhile.

    Raises:
        ClusterError: one has.
    """
    if cluster.errors:
        told = "; ".join(f"{name}: {error}" for name, error in sorted(cluster.errors.items()))
        raise ClusterError(f"stopped by themselves: {told}")
