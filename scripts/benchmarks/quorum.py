"""Three nodes on loopback, every record on all of them: what clients of the whole cluster wait for."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from benchmarks.load import Ask, load, percentiles
from benchmarks.nodes import GROUP, Asker, Bench, bench, record
from benchmarks.scale import CLIENTS, Scale
from benchmarks.writes import small
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.property.property_edit import build_property
from gossipnode.wire.record_codec import encode_apply, encode_get

RECORDS_OF_A_KIND = 20


@asynccontextmanager
async def _cluster() -> AsyncIterator[tuple[Bench, Asker]]:
    async with bench("abc") as nodes, nodes.ask("a") as asker:
        yield nodes, asker


def _apply(channel: Channel) -> Ask:
    async def ask(number: int) -> object:
        request = encode_apply(small(number), ack="quorum")
        return await channel.unary(services.NODE_APPLY, request, timeout=30)

    return ask


def _get(channel: Channel, records: int) -> Ask:
    async def ask(number: int) -> object:
        item = f"id-{number % records:08d}"
        request = encode_get(Entity(GROUP, "apply", item), ack="quorum")
        return await channel.unary(services.NODE_GET, request, timeout=30)

    return ask


async def apply_quorum(scale: Scale) -> dict[str, object]:
    """Apply at quorum, to one of the nodes."""
    async with _cluster() as (nodes, asker):
        return await _loads(_apply(asker.channel), nodes, scale)


async def get_quorum(scale: Scale) -> dict[str, object]:
    """Get by key at quorum, from one of the nodes."""
    async with _cluster() as (nodes, asker):
        apply = _apply(asker.channel)
        async with trio.open_nursery() as nursery:
            limit = trio.CapacityLimiter(32)
            for number in range(scale.read_records):
                nursery.start_soon(_limited, limit, apply, number)
        return await _loads(_get(asker.channel, scale.read_records), nodes, scale)


async def _loads(ask: Ask, nodes: Bench, scale: Scale) -> dict[str, object]:
    return {str(clients): await load(ask, clients, nodes.pids, scale) for clients in CLIENTS}


async def _limited(limit: trio.CapacityLimiter, ask: Ask, number: int) -> None:
    async with limit:
        await ask(number)


async def import_quorum(scale: Scale) -> dict[str, object]:
    """Records a second of one import through a coordinator."""
    count = min(scale.records, scale.quorum_import_records_max)
    records = [record(number) for number in range(count)]
    async with _cluster() as (_, asker):
        seconds = await asker.fill(records, keep_versions=False)
        return {"records": count, "seconds": round(seconds, 2), "records_per_second": round(count / seconds)}


async def visible(scale: Scale) -> dict[str, object]:
    """From the acknowledgement at one node until a plain read of another node's own copy shows the record."""
    took: list[float] = []
    async with _cluster() as (nodes, asker), nodes.ask("b") as other:
        apply = _apply(asker.channel)
        for number in range(scale.visible_records):
            await apply(number)
            began = time.perf_counter()
            request = encode_get(Entity(GROUP, "apply", f"id-{number:08d}"), ack="local")
            while not (await other.channel.unary(services.NODE_GET, request, timeout=30)).record.property:
                pass
            took.append(time.perf_counter() - began)
    return dict(percentiles(took))


async def query_indexed(scale: Scale) -> dict[str, object]:
    """Queries by an indexed tag, and in the order of one, over all the records."""
    count = scale.records
    kinds = max(1, count // RECORDS_OF_A_KIND)
    records = [_kinded(number, kinds) for number in range(count)]
    rng = random.Random(0)
    async with _cluster() as (nodes, asker):
        await asker.fill(records, keep_versions=False)
        by_kind = await _queries(asker, [_by_kind(rng.randrange(kinds)) for _ in range(scale.queries)])
        ordered = await _queries(asker, [_by_order(number) for number in range(scale.queries)])
        return {
            "records": count,
            "by_tag_20_results": by_kind,
            "ordered_limit_100": ordered,
            "peak_mb": {name: round(nodes.peak_mb(name)) for name in "abc"},
        }


def _kinded(number: int, kinds: int) -> bytes:
    tags = {f"tag_{at}": "x" * 130 for at in range(13)}
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
    order = banyandb.QueryOrder(tag_name="n", sort=model.Sort.ASC if number % 2 else model.Sort.DESC)
    return banyandb.QueryRequest(groups=[GROUP], order_by=order, limit=100)


async def _queries(asker: Asker, queries: Sequence[banyandb.QueryRequest]) -> dict[str, float]:
    """Times of one client, once the index that the first query asks for is built."""
    await _until_indexed(asker, queries[0])
    took: list[float] = []
    for query in queries:
        began = time.perf_counter()
        await _answer(asker, query)
        took.append(time.perf_counter() - began)
    return percentiles(took)


async def _until_indexed(asker: Asker, query: banyandb.QueryRequest) -> None:
    query.trace = True
    while True:
        reply = await _answer(asker, query)
        used = [
            tag.value for span in reply.trace.spans[0].children for tag in span.tags if tag.key == "index"
        ]
        if all(not value.startswith("none") for value in used):
            break
        await trio.sleep(0.1)
    query.trace = False


async def _answer(asker: Asker, query: banyandb.QueryRequest) -> banyandb.QueryResponse:
    return await asker.channel.unary(services.QUERY, query, timeout=60)
