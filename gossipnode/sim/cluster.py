"""A whole cluster in memory: the real nodes, each in a world of its own, in one Trio loop.

Run it under `trio.testing.MockClock` with an autojump threshold of 0, and time passes at once.

    cluster = Cluster(("a", "b", "c"), groups=("sw:1:3",))
    async with running(cluster):
        await cluster.isolate("c")
        ...
        cluster.faults.heal()
        assert (await cluster.round("a")).outcome is RoundOutcome.REPAIRED
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import trio

from gossipnode.concurrency.nursery_errors import first_error
from gossipnode.config.address import Address, parse_address
from gossipnode.config.settings import Settings, load_settings
from gossipnode.core.cluster.changes import first_epoch
from gossipnode.core.cluster.cluster_metadata import CLUSTER_ID_BYTES, CLUSTER_KEY_BYTES, Member
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.placement import majority
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.ring.round import Round
from gossipnode.core.ring.turn import Cause
from gossipnode.node.coordinate.coordinator import Coordinator
from gossipnode.node.identity.birth import BIRTH_NOTE
from gossipnode.node.local.cluster_state import CLUSTER_NOTE, configured_groups
from gossipnode.node.membership.joining import NotAMemberError
from gossipnode.node.node import Node, NodeFailedError, run_node
from gossipnode.node.parts import Parts
from gossipnode.node.world import OpenStore, World
from gossipnode.observe.traces.traces import NO_TRACES, Traces
from gossipnode.rpc import Channel
from gossipnode.sim.faults import Faults, FaultyNetwork
from gossipnode.sim.network import MemoryNetwork
from gossipnode.sim.world.clocks import DAY_ONE
from gossipnode.store.interface import IndexRows, LeafDigest, Store, StoreError
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.epochs.epoch_codec import encode_state

PORT = 7400

KEPT_ERRORS = (NodeFailedError, NotAMemberError, StoreError, OSError)
"""What ends a node with a reason of its own."""

CLEARED_SECONDS = 3.0
"""How long it is waited until the stores of nodes that were started count."""


class RoundRun:
    """A round that runs in the background."""

    def __init__(self) -> None:
        """Made by `Cluster.start_round`."""
        self._done = trio.Event()
        self._round: Round | None = None

    async def fill(self, cluster: Cluster, origin: str) -> None:
        """Run the round to its end."""
        self._round = await cluster.round(origin)
        self._done.set()

    async def result(self) -> Round:
        """The round as it ended. Waits for the end."""
        await self._done.wait()
        assert self._round is not None
        return self._round


@dataclass
class Cluster:
    """Nodes by name. A node's store outlives it, as a disk would.

    The nodes of `names` are in the configuration of each other; any other node joins through a member, see
    `join`. Nothing runs before `start`.
    """

    names: Sequence[str] = ("a", "b", "c")
    groups: Sequence[str] = ("sw:1:3",)
    """NAME:SHARDS:REPLICAS each."""
    overrides: dict[str, object] = field(default_factory=dict[str, object])
    """Settings of every node, as `load_settings` takes them."""
    seed: int = 0
    clock_offsets: dict[str, int] = field(default_factory=dict[str, int])
    """By how many nanoseconds the clock of a node is wrong."""
    ack: str = "quorum"
    """The acknowledgement level of every group in the configuration."""
    through: dict[str, str] = field(default_factory=dict[str, str])
    """For each node that is not in the configuration: the member that it joins through."""
    formed: bool = True
    """Whether the nodes of the configuration are members from the start, also before all of them have run."""
    traces: Traces = NO_TRACES
    """Where every node records its traces."""
    keeps_errors: bool = False
    """Whether a node that stops by itself is noted in `errors`, and does not end the simulation."""

    def __post_init__(self) -> None:
        """Make the world around the nodes."""
        self.network = MemoryNetwork()
        self.faults = Faults()
        self.stores: dict[str, MemoryStore] = {}
        self.nodes: dict[str, Node] = {}
        self.ended: dict[str, trio.Event] = {}
        self.running: set[str] = set()
        self.errors: dict[str, Exception] = {}
        """Why a node has stopped by itself, or has not started."""
        self._had_disks: set[str] = set()
        self._starts = Counter[str]()
        self._scopes: dict[str, trio.CancelScope] = {}

    # What a node is given

    def address(self, name: str) -> Address:
        """Where a node listens: at the host of its own name."""
        return parse_address(f"{name}:{PORT}")

    def settings(self, name: str, **overrides: object) -> Settings:
        """The settings of a node."""
        peers = [f"{peer}={self.address(peer)}" for peer in self.names if peer != name]
        joins: dict[str, object] = {}
        if name in self.through:
            joins = {"cluster.peers": [], "cluster.join": [str(self.address(self.through[name]))]}
        settings = load_settings(
            overrides={
                "node.name": name,
                "node.listen": str(self.address(name)),
                "node.data_dir": "unused",
                "cluster.peers": peers,
                "groups": list(self.groups),
                "repair.schedule": "",
                **self.overrides,
                **joins,
                **overrides,
            }
        )
        groups = {key: msgspec.structs.replace(group, ack=self.ack) for key, group in settings.groups.items()}
        return msgspec.structs.replace(settings, groups=groups)

    def world(self, name: str) -> World:
        """The world of a node: its part of the network, its disk, its clock and its randomness."""
        return World(
            network=FaultyNetwork(self.network, self.faults, name),
            open_store=self.disk(name),
            wall_clock=lambda: DAY_ONE + int(trio.current_time() * 1e9) + self.clock_offsets.get(name, 0),
            rng=random.Random(f"{self.seed} {name} {self._starts[name]}"),
            traces=self.traces,
        )

    def disk(self, name: str) -> OpenStore:
        """What opens a node's store: the one that it had before, as a restart finds it."""

        @asynccontextmanager
        async def open_store(
            settings: Settings, digest: LeafDigest, index_rows: IndexRows
        ) -> AsyncGenerator[Store]:
            kept = self.stores.get(name)
            if kept is not None:
                self.stores[name] = kept.reopen()
            else:
                self.stores[name] = MemoryStore(leaf_digest=digest, index_rows=index_rows)
                if self.formed and name in self.names and name not in self._had_disks:
                    await self._make_member(name, settings)
                self._had_disks.add(name)
            yield self.stores[name]

        return open_store

    async def _make_member(self, name: str, settings: Settings) -> None:
        """Write into the new store of a node that its cluster is formed."""
        births = {each: random.Random(f"{self.seed} {each} birth").getrandbits(64) for each in self.names}
        drawn = random.Random(f"{self.seed} cluster")
        value = first_epoch(
            drawn.randbytes(CLUSTER_ID_BYTES),
            drawn.randbytes(CLUSTER_KEY_BYTES),
            [Member(each, str(self.address(each)), births[each]) for each in self.names],
            configured_groups(settings),
            {peer: str(address) for peer, address in settings.cluster.foreign.items()},
        )
        await self.stores[name].keep_note(BIRTH_NOTE, str(births[name]).encode())
        state = AcceptorState(births[name], value)
        await self.stores[name].keep_note(CLUSTER_NOTE, encode_state(state))

    # The life of a node

    async def start(self, nursery: trio.Nursery, *names: str, **overrides: object) -> None:
        """Start the nodes of these names, or those of the configuration, and wait until all of them serve.

        If a majority runs then, wait until all stores count as well, for `CLEARED_SECONDS` at most.

        Raises:
            RuntimeError: a node has not started; `errors` says why if `keeps_errors`.
        """
        for name in names or self.names:
            try:
                self.nodes[name] = await nursery.start(self._run, name, overrides)
            except RuntimeError as error:
                raise RuntimeError(f"{name} has not started: {self.errors.get(name)}") from error
        with trio.move_on_after(CLEARED_SECONDS):
            for name in sorted(self.running & self.nodes.keys()):
                await self._cleared(name)

    async def _cleared(self, name: str) -> None:
        cluster = self.parts(name).local.cluster
        while not cluster.cleared and name in self.running:
            changed = cluster.changed.pending
            if len(self.running) < majority(len(cluster.view.members)):
                return
            await changed.wait()

    async def _run(self, name: str, overrides: dict[str, object], task_status: trio.TaskStatus[Node]) -> None:
        self.ended[name] = trio.Event()
        self.running.add(name)
        self._starts[name] += 1  # what one life draws, another one must not
        try:
            with trio.CancelScope() as self._scopes[name]:
                await run_node(self.settings(name, **overrides), self.world(name), task_status=task_status)
        except (*KEPT_ERRORS, BaseExceptionGroup) as error:
            reason = first_error(error)
            if not self.keeps_errors or not isinstance(reason, KEPT_ERRORS):
                raise
            self.errors[name] = reason
        finally:
            self.running.discard(name)
            self.ended[name].set()

    def kill(self, name: str) -> None:
        """End a node as a crash would: nothing is drained."""
        self._scopes[name].cancel()

    async def end(self, name: str) -> None:
        """End a node as a crash would, and wait until it is gone."""
        self.kill(name)
        await self.ended[name].wait()

    def stop(self) -> None:
        """End every node."""
        for name in self.nodes:
            self.kill(name)

    async def lose_disk(self, name: str) -> None:
        """End a node, and lose everything that it has stored."""
        if name in self.running:
            await self.end(name)
        del self.stores[name]

    async def join(self, nursery: trio.Nursery, name: str, through: str = "a") -> None:
        """Start a node that is in no configuration."""
        self.through[name] = through
        await self.start(nursery, name)

    async def replace(
        self, nursery: trio.Nursery, name: str, through: str = "a", **overrides: object
    ) -> None:
        """Start a node with an empty disk in the place of the member of its name."""
        self.through[name] = through
        await self.start(nursery, name, **{"cluster.replace": True, **overrides})

    async def refused(self, name: str, **overrides: object) -> str:
        """Start a node that must fail to start; gives why it did. Needs `keeps_errors`."""
        async with trio.open_nursery() as nursery:
            try:
                await self.start(nursery, name, **overrides)
            except RuntimeError:
                return str(self.errors.pop(name))
            self.kill(name)
        raise AssertionError(f"{name} has started")

    # Faults

    def others(self, name: str) -> Iterable[str]:
        """Every node but one."""
        return (other for other in {*self.names, *self.nodes} if other != name)

    def hang(self, name: str) -> None:
        """Let a node take connections and say nothing, until `faults.heal`."""
        for other in self.others(name):
            self.faults.hold((name, other), (other, name))

    async def isolate(self, name: str) -> None:
        """Cut a node off from all other nodes, until `faults.heal`."""
        for other in self.others(name):
            await self.faults.cut((name, other), (other, name))

    # What is asked of a node

    def parts(self, name: str) -> Parts:
        """What a node is made of."""
        return self.nodes[name].parts

    def view(self, name: str) -> ClusterView:
        """What a node knows of the cluster."""
        return self.parts(name).local.cluster.view

    def coordinator(self, name: str) -> Coordinator:
        """What carries out clients' requests at a node."""
        return self.parts(name).coordination.coordinator

    def channel(self, name: str) -> Channel:
        """A channel of a client to a node; no faults are on its way."""

        async def connect() -> trio.abc.Stream:
            return await self.network.connect(self.address(name))

        return Channel(connect, rng=random.Random(0))

    async def forget(
        self, name: str, at: str = "a", *, accept_loss: bool = False, force: bool = False
    ) -> None:
        """Have a node forget a member."""
        await self.parts(at).membership.members.forget(name, accept_loss=accept_loss, force=force)

    def start_round(self, nursery: trio.Nursery, origin: str = "a") -> RoundRun:
        """Start a round without waiting for it."""
        run = RoundRun()
        nursery.start_soon(run.fill, self, origin)
        return run

    async def round(self, origin: str = "a", group: str = "sw", shard: int = 0) -> Round:
        """Start a round at a node, and wait for its end."""
        watch = self.parts(origin).repair.rounds.start(ShardId(group, shard), Cause.ASKED)
        while watch.now().outcome is None:
            await watch.changed.wait()
        return watch.now()

    # What is stored

    async def put(self, name: str, *records: Record, shard: int = 0) -> None:
        """Put records straight into the store of a node, as if they had come by some other path."""
        await self.stores[name].write([(ShardId(one.entity.group, shard), one) for one in records])

    async def roots(self, group: str = "sw", shard: int = 0) -> dict[str, str]:
        """The root of a shard at every node that has a store."""
        return {name: (await store.tree(ShardId(group, shard))).root for name, store in self.stores.items()}

    async def held_of(self, entity: Entity) -> dict[str, Record | None]:
        """What each store holds of a record, tombstones included."""
        shard = self.parts(self.names[0]).local.shards.shard_of(entity)
        return {name: (await store.read(shard, (entity,)))[0] for name, store in self.stores.items()}


@asynccontextmanager
async def running(cluster: Cluster, *names: str) -> AsyncGenerator[Cluster]:
    """The nodes of these names, or of the configuration, run for as long as the block does."""
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, *names)
        try:
            yield cluster
        finally:
            cluster.faults.heal()
            cluster.stop()
