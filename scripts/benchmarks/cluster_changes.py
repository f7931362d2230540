"""Changes of groups and members in a cluster of three: how long each takes until every node has it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

import trio

from benchmarks.load import cpu_seconds, percentiles
from benchmarks.nodes import Asker, Bench, BenchmarkError, bench
from benchmarks.scale import Scale
from gossipnode.node.peers.call_metadata import own_metadata
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

MEMBERS = 3
PAUSE_SECONDS = 0.02
"""Between two changes, so that one does not meet the end of the one before."""


async def cluster_changes(scale: Scale) -> dict[str, object]:
    """A member changes its address; a group is created, altered and deleted, alone and beside many."""
    async with bench("abc") as nodes, nodes.ask("a") as asker:
        figures: dict[str, object] = {"address": await _addresses(nodes, asker, scale.changes)}
        figures["group"] = await _groups(nodes, asker, scale.changes)
        for number in range(scale.changes):
            await _Group(asker, f"other-{number}").create()
        figures[f"group_beside_{scale.changes}"] = await _groups(nodes, asker, scale.changes)
        return figures


class _Group:
    """A group, and what an operator does with it. Each gives how many members had the change."""

    def __init__(self, asker: Asker, name: str) -> None:
        self._channel = asker.channel
        self._name = name

    async def create(self) -> int:
        request = v1.CreateGroupRequest(name=self._name, shards=8, replicas=MEMBERS)
        return (await self._channel.unary(services.NODE_CREATE_GROUP, request, timeout=30)).acknowledged

    async def alter(self) -> int:
        request = v1.AlterGroupRequest(name=self._name, ack="all")
        return (await self._channel.unary(services.NODE_ALTER_GROUP, request, timeout=30)).acknowledged

    async def delete(self) -> int:
        request = v1.DeleteGroupRequest(name=self._name)
        return (await self._channel.unary(services.NODE_DELETE_GROUP, request, timeout=30)).acknowledged


async def _groups(nodes: Bench, asker: Asker, count: int) -> dict[str, object]:
    """One group after the other comes and goes. CPU in microseconds a change, of each node."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    before = {name: cpu_seconds(pid) for name, pid in nodes.pids.items()}
    for number in range(count):
        group = _Group(asker, f"group-{number}")
        for what, change in (("create", group.create), ("alter", group.alter), ("delete", group.delete)):
            await trio.sleep(PAUSE_SECONDS)
            took[what].append(await _seconds(change))
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in nodes.pids.items()}
    return {
        **{what: percentiles(seconds) for what, seconds in took.items()},
        "cpu_us": {name: round(used / (3 * count) * 1e6) for name, used in cpu.items()},
    }


async def _seconds(change: Callable[[], Awaitable[int]]) -> float:
    began = time.perf_counter()
    acknowledged = await change()
    took = time.perf_counter() - began
    if acknowledged < MEMBERS:
        raise BenchmarkError(f"{acknowledged} of {MEMBERS} members had the change when it was answered")
    return took


async def _addresses(nodes: Bench, asker: Asker, count: int) -> dict[str, float]:
    """Node a is told another address of c, as c would tell it. Then c has its own one decided again."""
    address = nodes.nodes["c"].address
    took: list[float] = []
    for _ in range(count):
        before = await _status(asker)
        birth = next(int(member.birth, 16) for member in before.members if member.name == "c")
        request = pb.JoinRequest(name="c", address=f"localhost:{address.port}", birth=birth)
        began = time.perf_counter()
        await asker.channel.unary(
            services.REPLICA_JOIN, request, timeout=30, metadata=own_metadata("main", "c")
        )
        took.append(time.perf_counter() - began)
        while (await _status(asker)).epoch < before.epoch + 2:  # noqa: ASYNC110 - it is another process
            await trio.sleep(PAUSE_SECONDS)
        await trio.sleep(PAUSE_SECONDS)
    return percentiles(took)


async def _status(asker: Asker) -> v1.StatusResponse:
    return await asker.channel.unary(services.NODE_STATUS, v1.StatusRequest(), timeout=30)
