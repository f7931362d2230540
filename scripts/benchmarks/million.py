"""A node with many records: what it holds in memory, and how long it takes to start again."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.nodes import Bench, bench, record
from benchmarks.scale import Scale

CHUNK_RECORDS = 20_000


def chunks(count: int) -> Iterator[list[bytes]]:
    """Records, a part at a time: a million of them are 2 GB."""
    for start in range(0, count, CHUNK_RECORDS):
        yield [record(number) for number in range(start, min(count, start + CHUNK_RECORDS))]


async def million(scale: Scale) -> dict[str, object]:
    """Fill a node, compute its tree, and start it again after a clean stop and after a kill."""
    count = 10 * scale.records
    async with bench("a") as nodes:
        async with nodes.ask("a") as asker:
            seconds = 0.0
            for chunk in chunks(count):
                seconds += await asker.fill(chunk)
            filled = nodes.peak_mb("a")
            began = time.perf_counter()
            await asker.root()
            digests = time.perf_counter() - began
        figures: dict[str, object] = {
            "records": count,
            "import_per_second": round(count / seconds),
            "peak_mb_after_import": round(filled),
            "digests_seconds": round(digests, 1),
            "peak_mb_after_digests": round(nodes.peak_mb("a")),
        }
        await nodes.nodes.stop(nodes.nodes["a"])
        figures["start_after_clean_stop_seconds"] = await _start(nodes)
        figures["resident_mb_after_start"] = round(nodes.resident_mb("a"))
        async with nodes.ask("a") as asker:
            # Only a file that was written to is checked after a kill.
            await asker.fill([record(count)])
        nodes.nodes.kill(nodes.nodes["a"])
        figures["start_after_kill_seconds"] = await _start(nodes)
        figures["resident_mb_after_kill_and_start"] = round(nodes.resident_mb("a"))
        return figures


async def _start(nodes: Bench) -> float:
    began = time.perf_counter()
    await nodes.nodes.start(nodes.nodes["a"])
    return round(time.perf_counter() - began, 2)
