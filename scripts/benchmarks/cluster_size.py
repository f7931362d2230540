"""What changes of members cost each node of a large cluster: the longest step, and the CPU in all.

No node runs here. One node's parts are driven through the epochs of a change, as the node does it, and Trio
says how long each step took. The other members exist in the cluster metadata alone.
"""

from __future__ import annotations

import gc
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import structlog
import trio

from benchmarks.load import milliseconds
from benchmarks.scale import Scale
from gossipnode.concurrency.loop_steps import in_short_steps
from gossipnode.core.cluster import changes
from gossipnode.core.cluster.changes import Change
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Member
from gossipnode.node.hand_off.give_up import Leaver
from gossipnode.node.hand_off.settle import Settler
from gossipnode.node.identity.birth import Birth
from gossipnode.node.identity.own_boot import open_boot
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.local_state import LocalState, local_state
from gossipnode.node.peers.hello import own_hello
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.epochs.epoch_codec import Announce, decode_question, encode_question
from gossipnode.wire.epochs.metadata_codec import check_size
from gossipnode.wire.generated.pb.gossipnode.v1 import cluster_pb2

GROUP_SHARDS = 1000
FIRST, NEW = "node-000", "node-new"
"""The node whose turn it is to settle, and one that joins."""
NEW_BIRTH = 1_000_000


class Steps(trio.abc.Instrument):
    """How long tasks keep the loop to themselves: their CPU time, without that of the garbage collector."""

    def __init__(self) -> None:
        """Measure from now on."""
        self.longest = self.longest_collection = 0.0
        self._began = time.thread_time()
        self._collects = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Trio is about to run a task."""
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """The task has come to a checkpoint that gives way."""
        self.longest = max(self.longest, time.thread_time() - self._began)

    def on_collection(self, phase: str, info: dict[str, int]) -> None:
        """The garbage collector begins or ends, in the middle of a step."""
        now = time.thread_time()
        if phase == "start":
            self._collects = now
        else:
            self.longest_collection = max(self.longest_collection, now - self._collects)
            self._began += now - self._collects


class Figures:
    """What was measured, by what was done."""

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self.told: dict[str, dict[str, float]] = {}
        self.longest_collection_ms = 0.0

    async def measure(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do something, in a task of its own. What is done several times is added up."""
        steps, cpu = Steps(), time.process_time()
        gc.callbacks.append(steps.on_collection)
        trio.lowlevel.add_instrument(steps)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
        trio.lowlevel.remove_instrument(steps)
        gc.callbacks.remove(steps.on_collection)
        told = self.told.setdefault(what, {"longest_step_ms": 0.0, "cpu_ms": 0.0})
        told["longest_step_ms"] = max(told["longest_step_ms"], milliseconds(steps.longest))
        told["cpu_ms"] = round(told["cpu_ms"] + (time.process_time() - cpu) * 1e3, 1)
        self.longest_collection_ms = max(self.longest_collection_ms, milliseconds(steps.longest_collection))


@dataclass
class Node:
    """One member, with the parts that follow the newest epoch."""

    local: LocalState
    members: Any
    settler: Settler
    leaver: Leaver
    asked: list[Change]

    @property
    def value(self) -> ClusterMetadata:
        """The newest epoch that it knows."""
        assert self.local.cluster.metadata is not None
        return self.local.cluster.metadata

    async def propose(self, change: Change) -> ClusterMetadata:
        """Apply a change, as `Epochs` does before it asks anybody."""
        made = change(self.value)
        after = made if isinstance(made, ClusterMetadata) else await in_short_steps(made)
        check_size(after)
        return after

    async def learn(self, value: ClusterMetadata) -> None:
        """Take over a value that another node tells of."""
        data = encode_question(Announce(value, 1)).SerializeToString()
        question = decode_question(cluster_pb2.EpochRequest.FromString(data))
        assert isinstance(question, Announce)
        await self.local.cluster.adopt(question.value, question.teller)

    async def follow(self) -> None:
        """All that looks at the shards of a new view."""
        local, view = self.local, self.local.shards.view
        await local.fill.unfilled(view)
        await self.settler.settle(view)
        await self.leaver.leftovers()
        await local.shards.held()

    async def hellos(self) -> None:
        """A hello to each other member."""
        for _ in self.value.members:
            own_hello(self.local.cluster, "10.0.0.1:7400", self.local.fill.progress())
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def node_of(name: str, value: ClusterMetadata) -> AsyncGenerator[Node]:
    """A member that knows an epoch."""
    store = MemoryStore(leaf_digest=lambda payload, delete_time: bytes(64))
    birth = value.members[name].birth if name in value.members else NEW_BIRTH
    boot = await open_boot(store, Birth(birth), random.Random(0))
    boot.cleared = True
    cluster = ClusterState(store, name, boot, value)
    local = local_state(store, cluster, time.time_ns)
    asked: list[Change] = []

    async def change(wanted: Change) -> tuple[ClusterMetadata, int]:
        await trio.lowlevel.checkpoint()
        asked.append(wanted)
        return value, 1

    members: Any = SimpleNamespace(own_name=name, peers={}, metadata={})
    epochs: Any = SimpleNamespace(change=change)
    sessions: Any = None
    node = Node(local, members, Settler(local, members, epochs), Leaver(local, members, sessions), asked)
    await node.learn(value)
    yield node
    await store.close()


async def cluster_size(scale: Scale) -> dict[str, object]:
    """Joining, settling, leaving and dropping, at the node that proposes and at one that hears of it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    value = changes.first_epoch(
        bytes(16),
        bytes(16),
        [Member(f"node-{n:03d}", f"10.0.0.{n}:7400", n + 1) for n in range(scale.cluster_members)],
        [
            Group(f"group-{n:02d}", shards=GROUP_SHARDS, indexes=("zone",) if n % 2 else ())
            for n in range(scale.cluster_shards // GROUP_SHARDS)
        ],
    )
    figures = Figures()
    going = list(value.members)[len(value.members) // 2]
    async with node_of(FIRST, value) as node:
        await figures.measure("start", node.follow)
        newcomer = Member(NEW, "10.0.1.1:7400", NEW_BIRTH)
        await _change(figures, node, "join", partial(changes.join, newcomer=newcomer))
        joined = node.value
        while node.asked:
            await _change(figures, node, "settle", node.asked.pop())
        await _change(figures, node, "leave", partial(changes.leave, name=going))
        await _change(figures, node, "drop", partial(changes.drop, name=list(value.members)[-1]))
    async with node_of(NEW, joined) as node:
        await figures.measure("newcomer: follow", node.follow)
        await figures.measure("newcomer: fill", partial(_fill_all, node))
        await figures.measure("newcomer: hellos", node.hellos)
    return {
        "members": len(value.members),
        "shards": sum(group.shards for group in value.groups.values()),
        "longest_garbage_collection_ms": figures.longest_collection_ms,
        **figures.told,
    }


async def _change(figures: Figures, node: Node, what: str, change: Change) -> None:
    made: list[ClusterMetadata] = []

    async def propose() -> None:
        made.append(await node.propose(change))

    await figures.measure(f"{what}: propose", propose)
    await figures.measure(f"{what}: learn", partial(node.learn, made[0]))
    await figures.measure(f"{what}: follow", node.follow)
    await figures.measure(f"{what}: hellos", node.hellos)


async def _fill_all(node: Node) -> None:
    """Take note of each shard that is to be filled."""
    for placement in await node.local.fill.unfilled(node.local.shards.view):
        await node.local.fill.remember(placement)
