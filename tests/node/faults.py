"""Whole nodes in memory between which bytes can be held up, links be cut, and whose clocks can be wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import trio

from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.model.property import Entity, Record
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.coordinate.coordinator import Applied, Coordinator
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.peers.members import Peer
from gossipnode.node.world import World
from gossipnode.sim.network import MemoryNetwork
from tests.node.cluster import Cluster
from tests.node.support import entity, prop, tags_of


class HeldStream(trio.abc.HalfCloseableStream):
    """The near end of a connection from one node to another; its bytes pass where the faults let them."""

    def __init__(self, end: Any, faults: Faults, near: str, far: str) -> None:
        self._end = end
        self._faults = faults
        self._near = near
        self._far = far

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._faults.passage(self._near, self._far)
        await self._end.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._end.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._end.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._end.receive_some(max_bytes)
        await self._faults.passage(self._far, self._near)
        return data

    async def aclose(self) -> None:
        self._faults.open.pop(self, None)
        await self._end.aclose()


class Faults:
    """What is wrong between which nodes. A pair is (from, to): each direction fails by itself."""

    def __init__(self) -> None:
        self.held: set[tuple[str, str]] = set()
        """Bytes wait, as before a peer that is stopped or a router that drops them."""
        self.cut_off: set[tuple[str, str]] = set()
        """Connections are refused."""
        self.open: dict[HeldStream, tuple[str, str]] = {}
        self._changed = trio.Event()

    async def passage(self, source: str, target: str) -> None:
        while (source, target) in self.held:
            await self._changed.wait()

    def hold(self, *pairs: tuple[str, str]) -> None:
        self.held.update(pairs)

    async def cut(self, *pairs: tuple[str, str]) -> None:
        self.cut_off.update(pairs)
        for stream in [stream for stream, pair in self.open.items() if pair in self.cut_off]:
            await trio.aclose_forcefully(stream)

    def heal(self) -> None:
        self.held.clear()
        self.cut_off.clear()
        changed, self._changed = self._changed, trio.Event()
        changed.set()


@dataclass(frozen=True)
class NodeNetwork:
    """The network as one node has it."""

    network: MemoryNetwork
    faults: Faults
    name: str

    async def connect(self, address: Address) -> trio.abc.Stream:
        pair = (self.name, address.host)
        if pair in self.faults.cut_off:
            await trio.lowlevel.checkpoint()
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        stream = HeldStream(await self.network.connect(address), self.faults, *pair)
        self.faults.open[stream] = pair
        return stream

    async def listen(self, address: Address) -> Sequence[trio.abc.Listener[Any]]:
        return await self.network.listen(address)

    def bound(self, listeners: Sequence[trio.abc.Listener[Any]], asked: Address) -> Address:
        return self.network.bound(listeners, asked)


@dataclass
class FaultyCluster(Cluster):
    """A cluster with `faults` between its nodes."""

    clock_offsets: dict[str, int] = field(default_factory=dict[str, int])
    """By how many nanoseconds the clock of a node is wrong."""
    ack: str = "quorum"
    """The acknowledgement level of every group."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.faults = Faults()

    def world(self, name: str) -> World:
        world = super().world(name)
        return replace(
            world,
            network=NodeNetwork(self.network, self.faults, name),
            wall_clock=lambda: world.wall_clock() + self.clock_offsets.get(name, 0),
        )

    def settings(self, name: str, **overrides: object) -> Settings:
        settings = super().settings(name, **overrides)
        groups = {key: msgspec.structs.replace(group, ack=self.ack) for key, group in settings.groups.items()}
        return msgspec.structs.replace(settings, groups=groups)

    def others(self, name: str) -> Iterable[str]:
        return (other for other in self.names if other != name)

    def hang(self, name: str) -> None:
        """A node takes connections and says nothing, until `faults.heal`."""
        for other in self.others(name):
            self.faults.hold((name, other), (other, name))

    async def isolate(self, name: str) -> None:
        """Part a node from all others, until `faults.heal`."""
        for other in self.others(name):
            await self.faults.cut((name, other), (other, name))

    def coordinator(self, name: str) -> Coordinator:
        return self.nodes[name].parts.coordination.coordinator

    def steps(self, name: str) -> RecordSteps:
        return self.nodes[name].parts.coordination.steps

    def bulk(self, name: str) -> BulkWrites:
        return self.nodes[name].parts.coordination.bulk

    def peer(self, name: str, other: str) -> Peer:
        """A member as another one sees it."""
        return self.nodes[name].parts.members.peers[other]

    async def held_of(self, entity: Entity) -> dict[str, Record | None]:
        """What each replica holds of a record, tombstones included."""
        shard = self.nodes[self.names[0]].parts.local.shards.shard_of(entity)
        return {name: (await store.read(shard, (entity,)))[0] for name, store in self.stores.items()}

    async def versions(self, entity: Entity) -> list[int]:
        """The mod_revision that each replica holds, 0 for nothing, by the names of the nodes."""
        held = await self.held_of(entity)
        return [0 if record is None else record.version.mod_revision for _, record in sorted(held.items())]


@asynccontextmanager
async def running(cluster: FaultyCluster, *names: str) -> AsyncGenerator[FaultyCluster]:
    """Nodes that run while the block does."""
    async with trio.open_nursery() as nursery:
        await cluster.start(nursery, *names)
        try:
            yield cluster
        finally:
            cluster.faults.heal()
            cluster.stop()


N1 = entity("n/1")


async def put(cluster: FaultyCluster, name: str, ack: str = "", request_id: str = "", **tags: int) -> Applied:
    """Merge tags into n/1, by one node."""
    payload = prop("n/1", **tags)
    return await cluster.coordinator(name).apply(payload, replace=False, ack=ack, request_id=request_id)


async def tags_at(cluster: FaultyCluster, name: str, ack: str = "") -> object:
    """The tags of n/1 as one node tells them; None when there is no live record."""
    got = await cluster.coordinator(name).get(N1, ack=ack)
    return None if got.record is None else tags_of(got.record)
