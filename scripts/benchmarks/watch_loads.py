"""The same watches on any system that has them: writes at one member, watches at another one.

What a watch is told is not read as messages: the ids of records are found in the bytes, so that the client
costs the same whatever the system.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

import trio

from benchmarks.load import cpu_seconds, percentiles
from benchmarks.scale import Scale
from gossipnode.rpc import Channel

FEW_WATCHES, FEW_WRITES_A_SECOND = 10, 500
MANY_WATCHES, MANY_WRITES_A_SECOND = 1000, 200
TINY_WATCHES = 40
WATCHES_PER_CONNECTION = 50
WRITERS = 8
RESUMED_CHANGES, TINY_CHANGES = 10_000, 500

ID = re.compile(rb"w\d+-\d+-\d+w")
TEXT = b"x" * 100

Receive = Callable[[], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class WatchedSystem:
    """Three members, as these loads use them."""

    pids: Mapping[str, int]
    watched_pid: int
    """Of the member that has the watches."""
    write: Callable[[str, str], Awaitable[object]]
    """Writes a record, by name and id, at another member: durably, at a majority."""
    connect: Callable[[], AbstractAsyncContextManager[Channel]]
    """A connection to the member that has the watches."""
    watch: Callable[[Channel, str, bytes], AbstractAsyncContextManager[Receive]]
    """Watches the records of a name: from now on, or from a place."""
    place: Callable[[Channel, str], Awaitable[bytes]]
    """Where a watch stands now."""
    fill: Callable[[str, int], Awaitable[object]]
    """Writes so many records of a name, as fast as it can."""


async def watch_loads(system: WatchedSystem, scale: Scale) -> dict[str, dict[str, object]]:
    tiny = scale.name != "full"
    return {
        "few": await _few(system, scale),
        "many": await _many(system, scale, TINY_WATCHES if tiny else MANY_WATCHES),
        "resumed": await _resumed(system, TINY_CHANGES if tiny else RESUMED_CHANGES),
    }


@dataclass(slots=True)
class Writes:
    """Writes at a steady pace, and when each began."""

    write: Callable[[str, str], Awaitable[object]]
    a_second: int
    name: str
    """Of the records that are written."""
    began: dict[str, float] = field(default_factory=dict[str, float])
    took: list[float] = field(default_factory=list[float])
    """How long each write took, until it was acknowledged."""
    round: int = 0

    async def run(self, seconds: float) -> None:
        self.round += 1
        ends = time.perf_counter() + seconds
        async with trio.open_nursery() as nursery:
            for number in range(WRITERS):
                nursery.start_soon(self._write, number, ends)

    async def _write(self, writer: int, ends: float) -> None:
        number = 0
        while (began := time.perf_counter()) < ends:
            number += 1
            identity = f"w{self.round}-{writer}-{number}w"
            self.began[identity] = began
            await self.write(self.name, identity)
            self.took.append(time.perf_counter() - began)
            await trio.sleep(max(0.0, began + WRITERS / self.a_second - time.perf_counter()))


async def _few(system: WatchedSystem, scale: Scale) -> dict[str, object]:
    """The time from the begin of a write at one member until a watch at another one is told."""
    took: list[float] = []
    writes = Writes(system.write, FEW_WRITES_A_SECOND, "few")

    async def follow(channel: Channel, task_status: trio.TaskStatus[None]) -> None:
        async with system.watch(channel, "few", b"") as receive:
            task_status.started()
            while (answer := await receive()) is not None:
                now = time.perf_counter()
                took.extend([now - writes.began[each.decode()] for each in ID.findall(answer)])

    async with system.connect() as channel, trio.open_nursery() as nursery:
        for _ in range(FEW_WATCHES):
            await nursery.start(follow, channel)
        await writes.run(scale.warm_up_seconds)
        took.clear()
        writes.took.clear()
        before, cpu, own = len(writes.began), _cpu(system), time.process_time()
        await writes.run(scale.load_seconds)
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    written = len(writes.began) - before
    used = {name: used - cpu[name] for name, used in _cpu(system).items()}
    used["clients"] = time.process_time() - own
    return {
        "watches": FEW_WATCHES,
        "writes_a_second": round(written / scale.load_seconds),
        "events": len(took),
        **percentiles(took),
        "write_p50_ms": percentiles(writes.took)["p50_ms"],
        "cpu_us_a_write": {name: round(each / written * 1e6) for name, each in used.items()},
    }


def _cpu(system: WatchedSystem) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in system.pids.items()}


async def _many(system: WatchedSystem, scale: Scale, watches: int) -> dict[str, object]:
    """What many watches of one name cost the member that they ask."""
    answers = events = 0
    writes = Writes(system.write, MANY_WRITES_A_SECOND, "many")

    async def follow(channel: Channel, task_status: trio.TaskStatus[None]) -> None:
        nonlocal answers, events
        async with system.watch(channel, "many", b"") as receive:
            task_status.started()
            while (answer := await receive()) is not None:
                answers += 1
                events += answer.count(TEXT)

    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(system.connect())
            for _ in range(-(-watches // WATCHES_PER_CONNECTION))
        ]
        nursery = await stack.enter_async_context(trio.open_nursery())
        for number in range(watches):
            await nursery.start(follow, channels[number % len(channels)])
        began, cpu = time.perf_counter(), cpu_seconds(system.watched_pid)
        await writes.run(scale.load_seconds)
        seconds = time.perf_counter() - began
        used = cpu_seconds(system.watched_pid) - cpu
        nursery.cancel_scope.cancel()
    return {
        "watches": watches,
        "writes_a_second": round(len(writes.began) / seconds),
        "answers": answers,
        "events": events,
        "node_cpu_cores": round(used / seconds, 2),
        "node_cpu_us_an_event": round(used / max(events, 1) * 1e6, 1),
    }


async def _resumed(system: WatchedSystem, changes: int) -> dict[str, object]:
    """How long a watch takes that goes on after many changes."""
    async with system.connect() as channel:
        place = await system.place(channel, "resumed")
        await system.fill("resumed", changes)
        began, told = time.perf_counter(), 0
        cpu = cpu_seconds(system.watched_pid)
        async with system.watch(channel, "resumed", place) as receive:
            while told < changes and (answer := await receive()) is not None:
                told += answer.count(TEXT)
        seconds = time.perf_counter() - began
        used = cpu_seconds(system.watched_pid) - cpu
    return {"changes": told, "seconds": round(seconds, 3), "node_cpu_seconds": round(used, 2)}
