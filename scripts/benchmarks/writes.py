"""Durable writes through a node's endpoint: imports, and Apply calls of one and of many clients."""

from __future__ import annotations

from benchmarks.load import load
from benchmarks.nodes import GROUP, bench, record
from benchmarks.scale import Scale
from gossipnode.core.model.property import Entity
from gossipnode.wire import services
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_compatible_apply


async def imports(scale: Scale) -> dict[str, object]:
    """Records a second of one import, stamps given by the node."""
    count = min(scale.records, scale.import_records_max)
    records = [record(number) for number in range(count)]
    async with bench("a") as nodes, nodes.ask("a") as asker:
        seconds = await asker.fill(records, keep_versions=False)
        return {
            "records": count,
            "seconds": round(seconds, 2),
            "records_per_second": round(count / seconds),
            "resident_mb": round(nodes.resident_mb("a")),
        }


async def applies(clients: int, scale: Scale) -> dict[str, object]:
    """Apply calls of some clients to a node that is alone."""
    async with bench("a") as nodes, nodes.ask("a") as asker:

        async def ask(number: int) -> object:
            request = encode_compatible_apply(small(number))
            return await asker.channel.unary(services.APPLY, request, timeout=30)

        return await load(ask, clients, nodes.pids, scale)


def small(number: int) -> bytes:
    """A record as the other benchmarks write it."""
    return build_property(
        Entity(GROUP, "apply", f"id-{number:08d}"), {f"tag_{at}": "x" * 130 for at in range(14)}
    )
