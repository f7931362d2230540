"""Watches: how soon a write is told, what many cost, and how fast one goes on; and waits for replicas."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import trio

from benchmarks.load import cpu_seconds, percentiles
from benchmarks.nodes import GROUP, Asker, Bench, bench
from benchmarks.scale import Scale
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2
from gossipnode.wire.property.property_edit import build_property, read_property
from gossipnode.wire.record_codec import encode_compatible_apply

FEW_WATCHES, FEW_WRITES_A_SECOND = 10, 500
MANY_WATCHES, MANY_WRITES_A_SECOND = 1000, 200
WATCHES_PER_CONNECTION = 50
WRITERS = 8
RESUMED_CHANGES = 10_000
WAITERS, WAITER_WRITES_A_SECOND = 100, 10

RAW_WATCH = replace(services.WATCH, decode_reply=bytes)
"""A watch whose answers are not read: it measures what they cost the node alone."""


async def watch(scale: Scale) -> dict[str, object]:
    """Three nodes: writes at one of them, watches at another."""
    tiny = scale.name != "full"
    async with bench("abc") as nodes:
        return {
            "few": await _few(nodes, scale),
            "many": await _many(nodes, scale, 40 if tiny else MANY_WATCHES),
            "resumed": await _resumed(nodes, 500 if tiny else RESUMED_CHANGES),
            "waits": await _waits(nodes, scale, 5 if tiny else WAITERS),
        }


@dataclass(slots=True)
class _Writes:
    """Writes at a steady pace, and when each began."""

    asker: Asker
    a_second: int
    name: str
    """Of the records that are written."""
    began: dict[str, float] = field(default_factory=dict[str, float])
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
            identity = f"{self.round}-{writer}-{number}"
            self.began[identity] = began
            payload = build_property(Entity(GROUP, self.name, identity), {"text": "x" * 100})
            await self.asker.channel.unary(services.APPLY, encode_compatible_apply(payload), timeout=30)
            await trio.sleep(max(0.0, began + WRITERS / self.a_second - time.perf_counter()))


async def _few(nodes: Bench, scale: Scale) -> dict[str, object]:
    """The time from the begin of a write at a until a watch at b is told."""
    took: list[float] = []
    async with nodes.ask("a") as at_a, nodes.ask("b") as at_b:
        writes = _Writes(at_a, FEW_WRITES_A_SECOND, "few")

        async def follow(task_status: trio.TaskStatus[None]) -> None:
            async with at_b.channel.stream(services.WATCH, timeout=None) as stream:
                await stream.send(v1.WatchRequest(group=GROUP, name="few"))
                await stream.half_close()
                while (answer := await stream.recv()) is not None:
                    now = time.perf_counter()
                    for event in answer.events:
                        if event.event == "ready":
                            task_status.started()
                        elif event.record.property:
                            identity = read_property(event.record.property).entity.id
                            took.append(now - writes.began.get(identity, now))

        async with trio.open_nursery() as nursery:
            for _ in range(FEW_WATCHES):
                await nursery.start(follow)
            await writes.run(scale.warm_up_seconds)
            took.clear()
            await writes.run(scale.load_seconds)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
    return {"watches": FEW_WATCHES, "events": len(took), **percentiles(took)}


async def _many(nodes: Bench, scale: Scale, watches: int) -> dict[str, object]:
    """What many watches of one group cost the node that they ask."""
    answers = 0
    async with AsyncExitStack() as stack:
        at_a = await stack.enter_async_context(nodes.ask("a"))
        channels = [
            (await stack.enter_async_context(nodes.ask("b"))).channel
            for _ in range(-(-watches // WATCHES_PER_CONNECTION))
        ]
        writes = _Writes(at_a, MANY_WRITES_A_SECOND, "many")

        async def follow(channel: Channel, task_status: trio.TaskStatus[None]) -> None:
            nonlocal answers
            async with channel.stream(RAW_WATCH, timeout=None) as stream:
                await stream.send(v1.WatchRequest(group=GROUP, name="many"))
                await stream.half_close()
                await stream.recv()
                task_status.started()
                while await stream.recv() is not None:
                    answers += 1

        async with trio.open_nursery() as nursery:
            for number in range(watches):
                await nursery.start(follow, channels[number % len(channels)])
            began, cpu, before = time.perf_counter(), cpu_seconds(nodes.pids["b"]), len(writes.began)
            await writes.run(scale.load_seconds)
            seconds = time.perf_counter() - began
            used = cpu_seconds(nodes.pids["b"]) - cpu
            nursery.cancel_scope.cancel()
    return {
        "watches": watches,
        "writes_a_second": round((len(writes.began) - before) / seconds),
        "answers": answers,
        "node_cpu_cores": round(used / seconds, 2),
        "node_mb": round(nodes.resident_mb("b")),
    }


async def _resumed(nodes: Bench, changes: int) -> dict[str, object]:
    """How long a watch takes that goes on after many changes."""
    async with nodes.ask("b") as asker:
        token = b""
        async with asker.channel.stream(services.WATCH, timeout=None) as stream:
            await stream.send(v1.WatchRequest(group=GROUP, name="resumed"))
            await stream.half_close()
            while not token and (answer := await stream.recv()) is not None:
                token = answer.token
        records = [
            build_property(
                Entity(GROUP, "resumed", f"{number:06}"),
                {"text": "x" * 100},
                create_revision=1,
                mod_revision=number + 1,
            )
            for number in range(changes)
        ]
        await asker.fill(records, ack="local")
        began, told = time.perf_counter(), 0
        async with asker.channel.stream(services.WATCH, timeout=None) as stream:
            await stream.send(v1.WatchRequest(group=GROUP, name="resumed", since=token))
            await stream.half_close()
            while told < changes and (answer := await stream.recv()) is not None:
                told += sum(event.event == "put" for event in answer.events)
        return {"changes": told, "seconds": round(time.perf_counter() - began, 3)}


async def _waits(nodes: Bench, scale: Scale, callers: int) -> dict[str, object]:
    """How long callers wait until every replica has a record, while others are written."""
    took: list[float] = []
    async with nodes.ask("a") as asker:
        writes = _Writes(asker, WAITER_WRITES_A_SECOND, "waited")
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

        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(wait)
            await writes.run(scale.load_seconds)
            nursery.cancel_scope.cancel()
    return {"callers": callers, "waits": len(took), **percentiles(took)}
