"""Watches: how soon a write is told, what many cost, and how fast one goes on; and waits for replicas.

The same watches on etcd, where it is installed, with the ratios.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio

from benchmarks.load import cpu_seconds, percentiles
from benchmarks.nodes import GROUP, Asker, Bench, BenchmarkError, bench
from benchmarks.scale import Scale
from benchmarks.watch_etcd import watch_etcd
from benchmarks.watch_loads import TEXT, Receive, WatchedSystem, Writes, watch_loads
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_compatible_apply

WAITERS, TINY_WAITERS, WAITER_WRITES_A_SECOND = 100, 5, 10

RAW_WATCH = replace(services.WATCH, decode_reply=bytes)
"""A watch whose answers are not read as messages."""

RATIOS = {
    "few": ("p50_ms", "p99_ms"),
    "many": ("node_cpu_cores", "node_cpu_us_an_event"),
    "resumed": ("seconds", "node_cpu_seconds"),
}
"""The figures of each load that are compared."""


async def watch(scale: Scale) -> dict[str, object]:
    """Three nodes: writes at one of them, watches at another."""
    ours: dict[str, Any] = {}
    async with bench("abc") as nodes, nodes.ask("a") as at_a, nodes.ask("b") as at_b:
        ours = {**await watch_loads(_system(nodes, at_a, at_b), scale)}
        ours["many"]["node_mb"] = round(nodes.resident_mb("b"))
        ours["waits"] = await _waits(nodes, at_a, scale)
    theirs = await watch_etcd(scale)
    return {**ours, "etcd": theirs, "ratios_to_etcd": ratios(ours, theirs)}


def ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Our figures as multiples of theirs, where they are not zero; none for a rival that is not there."""
    return {
        load: {name: round(ours[load][name] / theirs[load][name], 2) for name in names if theirs[load][name]}
        for load, names in RATIOS.items()
        if load in theirs
    }


def _system(nodes: Bench, at_a: Asker, at_b: Asker) -> WatchedSystem:
    async def write(name: str, identity: str) -> object:
        payload = build_property(Entity(GROUP, name, identity), {"text": TEXT.decode()})
        return await at_a.channel.unary(services.APPLY, encode_compatible_apply(payload), timeout=30)

    async def place(channel: Channel, name: str) -> bytes:
        async with channel.stream(services.WATCH, timeout=None) as stream:
            await stream.send(v1.WatchRequest(group=GROUP, name=name))
            await stream.half_close()
            while (answer := await stream.recv()) is not None:
                if answer.token:
                    return answer.token
        raise BenchmarkError("the watch has ended")

    async def fill(name: str, count: int) -> float:
        identities = [f"w0-0-{number}w" for number in range(count)]
        records = [
            build_property(
                Entity(GROUP, name, identity), {"text": TEXT.decode()}, create_revision=1, mod_revision=1
            )
            for identity in identities
        ]
        return await at_b.fill(records, ack="local")

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Channel]:
        async with nodes.ask("b") as asker:
            yield asker.channel

    return WatchedSystem(nodes.pids, nodes.pids["b"], write, connect, _watch, place, fill)


@asynccontextmanager
async def _watch(channel: Channel, name: str, place: bytes) -> AsyncGenerator[Receive]:
    async with channel.stream(RAW_WATCH, timeout=None) as stream:
        await stream.send(v1.WatchRequest(group=GROUP, name=name, since=place))
        await stream.half_close()
        if not place and await stream.recv() is None:
            raise BenchmarkError("the watch has ended")
        yield stream.recv


async def _waits(nodes: Bench, asker: Asker, scale: Scale) -> dict[str, object]:
    """How long callers wait until every replica has a record, while others are written."""
    took: list[float] = []
    callers = WAITERS if scale.name == "full" else TINY_WAITERS

    async def write(name: str, identity: str) -> object:
        payload = build_property(Entity(GROUP, name, identity), {"text": TEXT.decode()})
        return await asker.channel.unary(services.APPLY, encode_compatible_apply(payload), timeout=30)

    writes = Writes(write, WAITER_WRITES_A_SECOND, "waited")
    await writes.run(1.0)
    request = watch_pb2.WaitRequest(
        group=GROUP, name="waited", id=next(iter(writes.began)), milliseconds=10_000
    )

    async def wait() -> None:
        while True:
            began = time.perf_counter()
            reply = await asker.channel.unary(services.WAIT, request, timeout=15)
            took.append(time.perf_counter() - began)
            assert not reply.lagging
            await trio.sleep(max(0.0, 1.0 - took[-1]))

    cpu = cpu_seconds(nodes.pids["a"])
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(wait)
        await writes.run(scale.load_seconds)
        nursery.cancel_scope.cancel()
    used = cpu_seconds(nodes.pids["a"]) - cpu
    return {
        "callers": callers,
        "waits": len(took),
        **percentiles(took),
        "node_cpu_us_a_wait": round(used / len(took) * 1e6),
    }
