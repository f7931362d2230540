"""The machines of a simulated cluster: each has a disk, a clock, a network and, while it runs, a node.

A disk outlives the processes. A crash runs no line of the node's own ending to any effect: its disk takes
nothing more and its network carries nothing more before its tasks are unwound.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from gossipnode.concurrency.change_event import NextChange
from gossipnode.concurrency.nursery_errors import first_error
from gossipnode.config.address import Address, parse_address
from gossipnode.config.keys import SettingsError
from gossipnode.config.settings import Settings, load_settings
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.node.membership.joining import NotAMemberError
from gossipnode.node.node import Node, NodeFailedError, run_node
from gossipnode.node.world import World
from gossipnode.sim.world.clocks import Clocks
from gossipnode.sim.world.link_network import LinkNetwork
from gossipnode.sim.world.links import Links
from gossipnode.sim.world.scheduler import MACHINE, Scheduler
from gossipnode.sim.world.sim_disk import SimDisk
from gossipnode.store.interface import IndexRows, LeafDigest, Store, StoreError

PORT = 7400

ASKED_TO = "it was asked to"
"""Why a node has ended that was told to stop."""


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """How the nodes of a cluster are configured."""

    nodes: tuple[str, ...]
    """The nodes that are in the configuration of each other."""
    groups: tuple[str, ...]
    """NAME:SHARDS:REPLICAS each."""
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    """Further settings of every node, as `load_settings` takes them."""


@dataclass(slots=True)
class Machine:
    """A machine and the node that runs on it, or last did."""

    host: str
    node_name: str
    disk: SimDisk
    through: str = ""
    """The machine of the member through which its node joins; empty for a node of the configuration."""
    settings: dict[str, object] = field(default_factory=dict[str, object])
    """Settings of this node alone, also for its later starts."""
    node: Node | None = None
    """Once it serves, and as long as it runs."""
    running: bool = False
    starts: int = 0
    empty: bool = False
    """Whether its disk was replaced by an empty one, and its node has no place in the cluster yet."""
    may_end: bool = False
    """Whether its node may end by itself: the scenario had it forgotten, or broke its disk."""
    twin: bool = False
    """Whether its node bears the name of another machine's."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: NextChange = field(default_factory=NextChange)


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """A node has ended by itself."""

    machine: Machine
    reason: str
    error: BaseException | None
    """What nobody caught, if that is why; None if the node gave its reason."""


@dataclass(frozen=True, slots=True)
class _Serving(trio.TaskStatus[Node]):
    """Is told by a node that it serves."""

    machine: Machine
    serves: trio.Event
    on_serving: Callable[[Machine, Node], None]

    def started(self, value: Node | None = None) -> None:
        assert value is not None, "a node says which one it is"
        self.machine.node = value
        self.on_serving(self.machine, value)
        self.serves.set()


def _ended(machine: Machine, error: Exception) -> NodeEnd:
    """Why a node has ended: in its own words, if it is one of the errors that it states."""
    reason = first_error(error)
    stated = isinstance(reason, NodeFailedError | NotAMemberError | StoreError | OSError | SettingsError)
    return NodeEnd(machine, str(reason) or repr(reason), None if stated else reason)


def address_of(host: str) -> Address:
    """Where the node of a machine listens."""
    return parse_address(f"{host}:{PORT}")


class Machines:
    """All machines by host, and what runs on them."""

    def __init__(
        self,
        plan: ClusterPlan,
        seed: int,
        scheduler: Scheduler,
        nursery: trio.Nursery,
        *,
        on_stored: Callable[[str, ShardId, Version | None, Record], None],
        on_ended: Callable[[NodeEnd], None],
        on_serving: Callable[[Machine, Node], None],
    ) -> None:
        """Nothing runs yet. Nodes run in `nursery`."""
        self.plan = plan
        self.links = Links(random.Random(f"{seed} links"))
        self.network = LinkNetwork(self.links)
        self.clocks = Clocks()
        self._seed = seed
        self._scheduler = scheduler
        self._nursery = nursery
        self._on_stored = on_stored
        self._on_ended = on_ended
        self._on_serving = on_serving
        self.by_host: dict[str, Machine] = {}
        for name in plan.nodes:
            self.add(name, name)

    def add(self, host: str, node_name: str, *, through: str = "") -> Machine:
        """A new machine with an empty disk. Raises ValueError if there is one of that name."""
        if host in self.by_host:
            raise ValueError(f"there is a machine {host} already")
        disk = SimDisk(
            host,
            random.Random(f"{self._seed} disk {host}"),
            on_stored=lambda shard, before, record: self._on_stored(host, shard, before, record),
        )
        machine = self.by_host[host] = Machine(host, node_name, disk, through)
        return machine

    def move(self, host: str, new_host: str) -> Machine:
        """Put the disk of a machine that is down into a new one, which has another address."""
        old = self.by_host.pop(host)
        self.by_host[new_host] = replace(old, host=new_host)
        return self.by_host[new_host]

    def of_name(self, name: str) -> Sequence[Machine]:
        """The machines of all nodes of this name."""
        return [machine for machine in self.by_host.values() if machine.node_name == name]

    @property
    def running(self) -> Sequence[Machine]:
        """The machines whose nodes serve, by host."""
        return [machine for _, machine in sorted(self.by_host.items()) if machine.node is not None]

    # What a node is given

    def settings(self, machine: Machine) -> Settings:
        """The settings of a machine's node."""
        peers = {name: f"{name}={address_of(name)}" for name in self.plan.nodes if name != machine.node_name}
        overrides: dict[str, object] = {
            "node.name": machine.node_name,
            "node.listen": str(address_of(machine.host)),
            "node.data_dir": "unused",
            "cluster.peers": list(peers.values()),
            "groups": list(self.plan.groups),
            "repair.schedule": "",
            **self.plan.settings,
            **machine.settings,
        }
        if machine.through:
            overrides |= {"cluster.peers": [], "cluster.join": [str(address_of(machine.through))]}
        return load_settings(overrides=overrides)

    def world(self, machine: Machine) -> World:
        """What a machine's node has of the outside."""

        @asynccontextmanager
        async def open_store(_: Settings, digest: LeafDigest, index_rows: IndexRows) -> AsyncGenerator[Store]:
            store = machine.disk.open(digest, index_rows)
            try:
                yield store
            finally:
                await store.close()

        return World(
            network=self.network.host(machine.host),
            open_store=open_store,
            wall_clock=self.clocks.wall_clock(machine.host),
            rng=random.Random(f"{self._seed} node {machine.host} {machine.starts}"),
            sleep_until=self.links.alarms.sleep_until,
        )

    # The life of a node

    async def start(self, host: str) -> str:
        """Start the node of a machine, and wait until it serves. Gives why it does not, or nothing."""
        machine = self.by_host[host]
        if machine.running:
            raise ValueError(f"{host} runs already")
        machine.running = True
        machine.starts += 1
        machine.scope, machine.ended = trio.CancelScope(), NextChange()
        self.network.revive(host)
        started = trio.Event()
        self._nursery.start_soon(self._run, machine, started)
        await started.wait()
        return "" if machine.node is not None else "it has not started"

    async def _run(self, machine: Machine, started: trio.Event) -> None:
        MACHINE.set(machine.host)
        try:
            with machine.scope:
                serving = _Serving(machine, started, self._on_serving)
                await run_node(self.settings(machine), self.world(machine), task_status=serving)
                if machine.node is not None:
                    machine.node = None
                    self._on_ended(NodeEnd(machine, ASKED_TO, None))
        except Exception as error:  # noqa: BLE001 - whatever ends a node is a finding, not our own end
            machine.node = None
            self._on_ended(_ended(machine, error))
        finally:
            machine.disk.crash()
            machine.node, machine.running = None, False
            started.set()
            machine.ended.set()

    async def crash(self, host: str, *, told: bool = True) -> None:
        """End a node as kill -9 does, or, if its peers are not `told`, as a power cut does."""
        machine = self.by_host[host]
        machine.disk.crash()
        self.network.crash(host, told=told)
        await self._end(machine)

    async def _end(self, machine: Machine) -> None:
        if machine.running:
            machine.scope.cancel()
            self._scheduler.go_on(machine.host)
            await machine.ended.wait()

    async def stop(self, host: str) -> None:
        """Ask a node to end, as SIGTERM does, and wait until it has."""
        machine = self.by_host[host]
        if machine.node is not None:
            machine.node.request_drain()
            await machine.ended.wait()
