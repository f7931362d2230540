"""Load on a cluster: clients that ask for some seconds, and what it cost each process of the machine."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio

from benchmarks.scale import Scale

Ask = Callable[[int], Awaitable[object]]
"""Asks once; the number is another one each time."""

LOAD_OFFSET = 1_000_000_000
"""The numbers of what is measured are other ones than those of the warm-up."""
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


async def load(ask: Ask, clients: int, pids: Mapping[str, int], scale: Scale) -> dict[str, object]:
    """Each client waits for its answer before it asks again. Times in ms, CPU in microseconds a request."""
    await _ask_for(ask, clients, scale.warm_up_seconds, offset=0)
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    own_before = time.process_time()
    took = await _ask_for(ask, clients, scale.load_seconds, offset=LOAD_OFFSET)
    own = time.process_time() - own_before
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()} | {"clients": own}
    return {
        "clients": clients,
        "per_second": round(len(took) / scale.load_seconds),
        **percentiles(took),
        "cpu_us": {name: round(used / len(took) * 1e6) for name, used in cpu.items()},
    }


async def _ask_for(ask: Ask, clients: int, seconds: float, *, offset: int) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def client(number: int) -> None:
        at = offset + number * 1_000_000
        began = time.perf_counter()
        while began < until or not took:
            at += 1
            await ask(at)
            ended = time.perf_counter()
            took.append(ended - began)
            began = ended

    async with trio.open_nursery() as nursery:
        for number in range(clients):
            nursery.start_soon(client, number)
    return took


def percentiles(took: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile of seconds, in milliseconds."""
    ordered = sorted(took)
    return {
        "p50_ms": milliseconds(statistics.median(ordered)),
        "p99_ms": milliseconds(ordered[int(len(ordered) * 0.99)]),
    }


def milliseconds(seconds: float) -> float:
    """Rounded."""
    return round(seconds * 1e3, 2)


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS
