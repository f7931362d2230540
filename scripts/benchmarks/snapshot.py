"""A snapshot of a node that takes writes: how long it takes, and what the writers notice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import trio

from benchmarks.load import percentiles
from benchmarks.nodes import GROUP, Asker, Bench, bench, record
from benchmarks.scale import Scale
from gossipnode.core.model.property import Entity
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_compatible_apply

CHUNK_RECORDS = 20_000
WRITERS = 4
WRITES_A_SECOND = 25
"""Of each writer: with fewer than the node can take, the times are those of the node and not of a queue."""


async def snapshot(scale: Scale) -> dict[str, object]:
    """Fill a node, and take a snapshot of it while some clients write at a steady pace."""
    async with bench("a") as nodes, nodes.ask("a") as asker:
        for start in range(0, scale.records, CHUNK_RECORDS):
            await asker.fill(
                [record(number) for number in range(start, min(scale.records, start + CHUNK_RECORDS))]
            )
        await asker.root()
        writers = _Writers(asker)
        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(writers.run, number)
            await trio.sleep(scale.warm_up_seconds)
            writers.took.clear()
            await trio.sleep(2 * scale.load_seconds)
            before = writers.taken()
            seconds, size = await _take(nodes)
            meanwhile = writers.taken()
            await trio.sleep(scale.load_seconds)
            after = writers.taken()
            nursery.cancel_scope.cancel()
        return {
            "records": scale.records,
            "seconds": round(seconds, 2),
            "megabytes": round(size / 1e6),
            "peak_mb": round(nodes.peak_mb("a")),
            "writes_before": _described(before),
            "writes_meanwhile": _described(meanwhile),
            "writes_after": _described(after),
        }


class _Writers:
    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.took: list[float] = []

    def taken(self) -> list[float]:
        """The seconds of the writes since the last call."""
        took, self.took = self.took, []
        return took

    async def run(self, writer: int) -> None:
        for payload in _records(writer):
            began = time.perf_counter()
            await self._asker.channel.unary(services.APPLY, encode_compatible_apply(payload), timeout=30)
            took = time.perf_counter() - began
            self.took.append(took)
            await trio.sleep(max(0.0, 1 / WRITES_A_SECOND - took))


def _records(writer: int) -> Iterator[bytes]:
    tags = {f"tag_{at}": "x" * 130 for at in range(14)}
    number = 0
    while True:
        number += 1
        yield build_property(Entity(GROUP, "apply", f"{writer}-{number:08d}"), tags)


async def _take(nodes: Bench) -> tuple[float, int]:
    """Take a snapshot; gives seconds and bytes."""
    last = v1.SnapshotEvent()
    began = time.perf_counter()
    async with nodes.ask("a") as asker, asker.channel.stream(services.NODE_SNAPSHOT, timeout=None) as stream:
        await stream.send(v1.SnapshotRequest(name="measured"))
        await stream.half_close()
        while (event := await stream.recv()) is not None:
            last = event
    assert last.path
    return time.perf_counter() - began, last.bytes_done


def _described(took: list[float]) -> dict[str, float]:
    return {"writes": len(took), **percentiles(took), "max_ms": round(max(took, default=0) * 1e3, 1)}
