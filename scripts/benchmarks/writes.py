"""Durable writes through a node's endpoint: imports, and Apply calls of one and of many clients."""

from __future__ import annotations

import statistics
import time

import trio

from benchmarks.nodes import GROUP, Asker, bench, record
from gossipnode.core.model.property import Entity
from gossipnode.wire import services
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_compatible_apply

APPLY_SECONDS = 5.0


async def imports(count: int) -> dict[str, object]:
    """Records a second of one import, stamps given by the node."""
    records = [record(number) for number in range(count)]
    async with bench("a") as nodes, nodes.ask("a") as asker:
        seconds = await asker.fill(records, keep_versions=False)
        return {
            "records": count,
            "seconds": round(seconds, 2),
            "records_per_second": round(count / seconds),
            "resident_mb": round(nodes.resident_mb("a")),
        }


async def applies(clients: int) -> dict[str, object]:
    """Apply calls for some seconds, each client waiting for its answer before its next call."""
    async with bench("a") as nodes, nodes.ask("a") as asker:
        await _apply_for(asker, clients, 0.5, offset=0)
        took = await _apply_for(asker, clients, APPLY_SECONDS, offset=1_000_000)
    took.sort()
    return {
        "clients": clients,
        "per_second": round(len(took) / APPLY_SECONDS),
        "p50_ms": round(statistics.median(took) * 1e3, 2),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1e3, 2),
    }


async def _apply_for(asker: Asker, clients: int, seconds: float, *, offset: int) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        at = offset + number * 100_000
        while (began := time.perf_counter()) < until:
            at += 1
            request = encode_compatible_apply(small(at))
            await asker.channel.unary(services.APPLY, request, timeout=30)
            took.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(client, number)
    return took


def small(number: int) -> bytes:
    """A record as the other benchmarks write it."""
    return build_property(
        Entity(GROUP, "apply", f"id-{number:08d}"), {f"tag_{at}": "x" * 130 for at in range(14)}
    )
