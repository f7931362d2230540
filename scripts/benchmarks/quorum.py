"""Three nodes on loopback, every record on all of them: what clients of the whole cluster wait for."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from benchmarks.load import Ask, load, milliseconds
from benchmarks.nodes import GROUP, Asker, Bench, bench, record
from benchmarks.writes import small
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_apply, encode_get

MakeQuery = Callable[[int], banyandb.QueryRequest]

READ_RECORDS = 2_000
VISIBLE_RECORDS = 200
QUERIES = 100
KINDS = 5_000
"""Each kind has 20 of 100,000 records."""


@asynccontextmanager
async def _cluster() -> AsyncIterator[tuple[Bench, Asker]]:
    async with bench("abc") as nodes, nodes.ask("a") as asker:
        yield nodes, asker


def _pids(nodes: Bench) -> dict[str, int]:
    return {node.name: node.process.pid for node in nodes.nodes.nodes if node.process is not None}


def _apply(channel: Channel) -> Ask:
    async def ask(number: int) -> object:
        request = encode_apply(small(number), ack="quorum")
        return await channel.unary(services.NODE_APPLY, request, timeout=30)

    return ask


def _get(channel: Channel) -> Ask:
    async def ask(number: int) -> object:
        item = f"id-{number % READ_RECORDS:08d}"
        request = encode_get(Entity(GROUP, "apply", item), ack="quorum")
        return await channel.unary(services.NODE_GET, request, timeout=30)

    return ask


async def apply_quorum() -> dict[str, object]:
    """Apply at quorum, to one of the nodes."""
    async with _cluster() as (nodes, asker):
        return {f"{clients}": await load(_apply(asker.channel), clients, _pids(nodes)) for clients in (1, 64)}


async def get_quorum() -> dict[str, object]:
    """Get by key at quorum, from one of the nodes."""
    async with _cluster() as (nodes, asker):
        apply = _apply(asker.channel)
        async with trio.open_nursery() as nursery:
            limit = trio.CapacityLimiter(32)
            for number in range(READ_RECORDS):
                nursery.start_soon(_limited, limit, apply, number)
        return {f"{clients}": await load(_get(asker.channel), clients, _pids(nodes)) for clients in (1, 64)}


async def _limited(limit: trio.CapacityLimiter, ask: Ask, number: int) -> None:
    async with limit:
        await ask(number)


async def import_quorum(count: int) -> dict[str, object]:
    """Records a second of one import through a coordinator."""
    records = [record(number) for number in range(count)]
    async with _cluster() as (_, asker):
        seconds = await asker.fill(records, keep_versions=False)
        return {"records": count, "seconds": round(seconds, 2), "records_per_second": round(count / seconds)}


async def visible() -> dict[str, object]:
    """From the acknowledgement at one node until a plain read of another node's own copy shows the record."""
    took: list[float] = []
    async with _cluster() as (nodes, asker), nodes.ask("b") as other:
        apply = _apply(asker.channel)
        for number in range(VISIBLE_RECORDS):
            await apply(number)
            began = time.perf_counter()
            request = encode_get(Entity(GROUP, "apply", f"id-{number:08d}"), ack="local")
            while not (await other.channel.unary(services.NODE_GET, request, timeout=30)).record.property:
                pass
            took.append(time.perf_counter() - began)
    took.sort()
    return {
        "p50_ms": milliseconds(statistics.median(took)),
        "p99_ms": milliseconds(took[int(len(took) * 0.99)]),
    }


async def query_indexed(count: int) -> dict[str, object]:
    """Queries by an indexed tag, and in the order of one, over all the records."""
    kinds = [_kinded(number, count) for number in range(count)]
    async with _cluster() as (nodes, asker):
        await asker.fill(kinds, keep_versions=False)
        by_kind = await _queries(asker, _by_kind)
        ordered = await _queries(asker, _by_order)
        return {
            "records": count,
            "by_tag_20_results": by_kind,
            "ordered_limit_100": ordered,
            "peak_mb": {name: round(nodes.peak_mb(name)) for name in "abc"},
        }


def _kinded(number: int, count: int) -> bytes:
    tags = {f"tag_{at}": "x" * 130 for at in range(13)}
    kinds = max(1, count // 20)
    return build_property(
        Entity(GROUP, "kinded", f"id-{number:08d}"), {"kind": f"kind-{number % kinds}", "n": number, **tags}
    )


def _by_kind(number: int) -> banyandb.QueryRequest:
    condition = model.Condition(
        name="kind",
        op=model.ConditionBinaryOp.BINARY_OP_EQ,
        value=model.TagValue(str=model.Str(value=f"kind-{number}")),
    )
    return banyandb.QueryRequest(groups=[GROUP], criteria=model.Criteria(condition=condition), limit=20)


def _by_order(number: int) -> banyandb.QueryRequest:
    order = model.QueryOrder(tag_name="n", sort=model.Sort.ASC if number % 2 else model.Sort.DESC)
    return banyandb.QueryRequest(groups=[GROUP], order_by=order, limit=100)


async def _queries(asker: Asker, make_query: MakeQuery) -> dict[str, object]:
    """Times of one client, once the index that the first query asked for is built."""
    await _until_indexed(asker, make_query)
    took: list[float] = []
    rng = random.Random(0)
    for _ in range(QUERIES):
        query = make_query(rng.randrange(KINDS))
        began = time.perf_counter()
        await _answer(asker, query)
        took.append(time.perf_counter() - began)
    return {"p50_ms": milliseconds(statistics.median(took)), "p99_ms": milliseconds(max(took))}


async def _until_indexed(asker: Asker, make_query: MakeQuery) -> None:
    while True:
        query = make_query(1)
        query.trace = True
        reply = await _answer(asker, query)
        used = [
            tag.value for span in reply.trace.spans[0].children for tag in span.tags if tag.key == "index"
        ]
        if all(not value.startswith("none") for value in used):
            return
        await trio.sleep(0.5)


async def _answer(asker: Asker, query: banyandb.QueryRequest) -> banyandb.QueryResponse:
    return await asker.channel.unary(services.QUERY, query, timeout=60)
