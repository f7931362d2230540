"""Sessions between two nodes: what a round of one hop takes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

import trio

from benchmarks.nodes import Bench, bench, record
from benchmarks.scale import Scale


async def measured_round(nodes: Bench, *, digests_there: bool) -> dict[str, object]:
    """One round from a to b, from the request to its reported end."""
    if digests_there:
        for name in "ab":
            async with nodes.ask(name) as asker:
                await asker.root()
    async with nodes.ask("a") as asker:
        began = time.perf_counter()
        finished = await asker.round()
        seconds = time.perf_counter() - began
        roots = {await asker.root()}
    async with nodes.ask("b") as asker:
        roots.add(await asker.root())
    both_roots = time.perf_counter() - began
    hop = finished.hops[0]
    return {
        "seconds": round(seconds, 3),
        "seconds_until_both_roots_are_known": round(both_roots, 3),
        "outcome": finished.outcome,
        "roots_equal": len(roots) == 1,
        "sent": hop.sent,
        "received": hop.received,
        "bytes_sent": hop.bytes_sent,
        "bytes_received": hop.bytes_received,
        "peak_mb": {name: round(nodes.peak_mb(name)) for name in "ab"},
    }


async def scenario(
    a: Iterable[bytes],
    b: Iterable[bytes],
    later_b: Iterable[bytes] = (),
    *,
    later_a: Iterable[bytes] = (),
    digests_there: bool = False,
) -> dict[str, object]:
    """Fill both, then measure a round. `later_a` and `later_b` are written after digests were computed once.

    Both are filled side by side: nodes that stayed different for long would become equal without a round.
    """
    async with bench() as nodes:
        await _fill(nodes, a, b)
        if digests_there or later_a or later_b:
            for name in "ab":
                async with nodes.ask(name) as asker:
                    await asker.root()
        await _fill(nodes, later_a, later_b)
        return await measured_round(nodes, digests_there=digests_there)


async def _fill(nodes: Bench, a: Iterable[bytes], b: Iterable[bytes]) -> None:
    async def fill(name: str, records: Iterable[bytes]) -> None:
        async with nodes.ask(name) as asker:
            await asker.fill(records, ack="local")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fill, "a", a)
        nursery.start_soon(fill, "b", b)


async def repair(scale: Scale) -> dict[str, object]:
    """Every scenario on fresh nodes."""
    count = scale.records
    changed = min(count, scale.changed_records_max)
    everything = [record(number) for number in range(count)]
    scattered = random.Random(1).sample(range(count), changed)
    return {
        "push_to_empty": await scenario(everything, []),
        "pull_from_full": await scenario([], everything),
        "half_missing": await scenario(everything, everything[::2]),
        "identical": await scenario(everything, everything, digests_there=True),
        "one_changed": await scenario(everything, everything, [record(count // 2, 1)]),
        f"scattered_{changed}_changed": await scenario(
            everything, everything, [record(number, 1) for number in scattered]
        ),
    }
