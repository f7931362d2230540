"""Whole nodes in memory, under virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from gossipnode.config.address import Address, parse_address
from gossipnode.config.settings import Settings, load_settings
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import TagValue
from gossipnode.core.ring.round import Round
from gossipnode.core.ring.turn import Cause
from gossipnode.node.node import Node, run_node
from gossipnode.node.world import World
from gossipnode.rpc import Channel
from gossipnode.sim.network import MemoryNetwork
from gossipnode.store.interface import IndexRows, LeafDigest, Store
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property

DAY_ONE = 1_800_000_000 * 1_000_000_000


def record(
    key: str, value: TagValue = "v", *, revision: int = 1, delete_time: int = 0, group: str = "sw"
) -> Record:
    """A record of one tag."""
    name, _, item = key.partition("/")
    payload = build_property(
        Entity(group, name, item), {"k": value}, create_revision=1, mod_revision=revision
    )
    return decode_record(payload, delete_time)


class RoundRun:
    """A round in the background."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._round: Round | None = None

    async def fill(self, cluster: Cluster, origin: str) -> None:
        self._round = await cluster.round(origin)
        self._done.set()

    async def result(self) -> Round:
        await self._done.wait()
        assert self._round is not None
        return self._round


@dataclass
class Cluster:
    """Nodes a, b, c, ... in memory. A node's store outlives it, as a disk would."""

    names: Sequence[str] = ("a", "b", "c")
    groups: Sequence[str] = ("sw:1:3",)
    overrides: dict[str, object] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        self.network = MemoryNetwork()
        self.stores: dict[str, MemoryStore] = {}
        self.nodes: dict[str, Node] = {}
        self.scopes: dict[str, trio.CancelScope] = {}
        self.ended: dict[str, trio.Event] = {}

    def address(self, name: str) -> Address:
        return parse_address(f"{name}:7400")

    def settings(self, name: str, **overrides: object) -> Settings:
        peers = [f"{peer}={self.address(peer)}" for peer in self.names if peer != name]
        return load_settings(
            overrides={
                "node.name": name,
                "node.listen": str(self.address(name)),
                "node.data_dir": "unused",
                "cluster.peers": peers,
                "groups": list(self.groups),
                "repair.schedule": "",
                **self.overrides,
                **overrides,
            }
        )

    def world(self, name: str) -> World:
        @asynccontextmanager
        async def open_store(
            settings: Settings, digest: LeafDigest, index_rows: IndexRows
        ) -> AsyncIterator[Store]:
            kept = self.stores.get(name)
            if kept is None:
                self.stores[name] = MemoryStore(leaf_digest=digest, index_rows=index_rows)
            else:
                self.stores[name] = kept.reopen()
            yield self.stores[name]

        return World(
            network=self.network,
            open_store=open_store,
            wall_clock=lambda: DAY_ONE + int(trio.current_time() * 1e9),
            rng=random.Random(f"{self.seed} {name}"),
        )

    async def start(self, nursery: trio.Nursery, *names: str, **overrides: object) -> None:
        for name in names or self.names:
            self.nodes[name] = await nursery.start(self._run, name, overrides)

    async def _run(self, name: str, overrides: dict[str, object], task_status: trio.TaskStatus[Node]) -> None:
        self.ended[name] = trio.Event()
        with trio.CancelScope() as self.scopes[name]:
            await run_node(self.settings(name, **overrides), self.world(name), task_status=task_status)
        self.ended[name].set()

    def kill(self, name: str) -> None:
        """End a node as a crash would: nothing is drained."""
        self.scopes[name].cancel()

    def stop(self) -> None:
        for name in self.nodes:
            self.kill(name)

    def start_round(self, nursery: trio.Nursery, origin: str = "a") -> RoundRun:
        """Start a round without waiting for it."""
        run = RoundRun()
        nursery.start_soon(run.fill, self, origin)
        return run

    async def put(self, name: str, *records: Record, shard: int = 0) -> None:
        await self.stores[name].write([(ShardId(one.entity.group, shard), one) for one in records])

    async def roots(self, group: str = "sw", shard: int = 0) -> dict[str, str]:
        return {name: (await store.tree(ShardId(group, shard))).root for name, store in self.stores.items()}

    def channel(self, name: str) -> Channel:
        async def connect() -> trio.abc.Stream:
            return await self.network.connect(self.address(name))

        return Channel(connect, rng=random.Random(0))

    async def round(self, origin: str = "a", group: str = "sw", shard: int = 0) -> Round:
        """Start a round at a node, and wait for what becomes of it."""
        watch = self.nodes[origin].parts.repair.rounds.start(ShardId(group, shard), Cause.ASKED)
        while watch.now().outcome is None:
            await watch.changed.wait()
        return watch.now()
