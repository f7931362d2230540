"""The status of a node that holds many shards: how long a client waits, and what it costs the node."""

from __future__ import annotations

import time

import trio

from benchmarks.load import cpu_seconds, milliseconds, percentiles
from benchmarks.nodes import Asker, bench
from benchmarks.scale import Scale
from gossipnode.core.model.property import Entity
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import build_property

GROUP_SHARDS = 1000
RECORDS_PER_SHARD = 1
BATCH_RECORDS = 500
STATUSES = 5
DIGESTS_PAUSE_SECONDS = 1.0


async def status_of_many(scale: Scale) -> dict[str, object]:
    """Statuses one after the other, of a node that is alone and holds a few records of each shard."""
    async with bench("a") as nodes, nodes.ask("a") as asker:
        groups = [f"group-{number:02d}" for number in range(max(1, scale.status_shards // GROUP_SHARDS))]
        shards = scale.status_shards // len(groups)
        for group in groups:
            request = v1.CreateGroupRequest(name=group, shards=shards, replicas=1)
            await asker.channel.unary(services.NODE_CREATE_GROUP, request, timeout=30)
            await _fill(asker, group, shards * RECORDS_PER_SHARD)
        first = await _seconds(asker)
        while any(shard.tree != "ready" for shard in (await _status(asker)).shards):  # noqa: ASYNC110
            await trio.sleep(DIGESTS_PAUSE_SECONDS)
        before = cpu_seconds(nodes.pids["a"])
        took = [await _seconds(asker) for _ in range(STATUSES)]
        cpu = cpu_seconds(nodes.pids["a"]) - before
        return {
            "shards": len((await _status(asker)).shards),
            "just_written_ms": milliseconds(first),
            **percentiles(took),
            "node_cpu_ms": milliseconds(cpu / STATUSES),
        }


async def _seconds(asker: Asker) -> float:
    began = time.perf_counter()
    await _status(asker)
    return time.perf_counter() - began


async def _status(asker: Asker) -> v1.StatusResponse:
    return await asker.channel.unary(services.NODE_STATUS, v1.StatusRequest(), timeout=60)


async def _fill(asker: Asker, group: str, count: int) -> None:
    async with asker.channel.stream(services.NODE_IMPORT, timeout=None) as stream:
        for start in range(0, count, BATCH_RECORDS):
            records = [
                v1.Record(property=build_property(Entity(group, "n", f"id-{number}"), {"n": number}))
                for number in range(start, min(count, start + BATCH_RECORDS))
            ]
            await stream.send(v1.ImportRequest(group=group, records=records))
            await stream.recv()
        await stream.half_close()
        await stream.finish()
