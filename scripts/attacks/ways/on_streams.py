"""Streams that are begun and not read, not continued, or given up: by hostile and by honest clients."""

from __future__ import annotations

import trio

from attacks import frames
from attacks.attack import Attacks, Scene
from attacks.honest import callers
from attacks.ways.on_frames import REPAIR, WATCH
from gossipnode.rpc import Channel
from gossipnode.wire import services
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1

ATTACKS = Attacks()
RECORDS = 5000


async def _never_read(scene: Scene, path: str, data: bytes, connections: int, streams: int) -> None:
    """Ask, on some connections with some streams each, and read nothing that comes."""
    for _ in range(connections):
        attacker = await scene.target.open(reads=False, receive_buffer_bytes=4096)
        for stream in range(1, 2 * streams, 2):
            await attacker.send(frames.request(stream, path, data))


def _ordered() -> banyandb.QueryRequest:
    return banyandb.QueryRequest(groups=["sw"], order_by=banyandb.QueryOrder(tag_name="n"), limit=10_000)


@ATTACKS.add("four readers that start an export and stop", records=RECORDS)
async def unread_exports(scene: Scene) -> None:
    await _never_read(scene, services.NODE_EXPORT.path, encode(v1.ExportRequest(group="sw")), 4, 1)


@ATTACKS.add("12 query streams that nobody reads", records=RECORDS)
async def unread_queries(scene: Scene) -> None:
    query = v1.QueryRequest(query=banyandb.QueryRequest(groups=["sw"], limit=10_000))
    await _never_read(scene, services.NODE_QUERY.path, encode(query), 1, 12)


@ATTACKS.add("four ordered queries that nobody reads", records=RECORDS)
async def unread_ordered_queries(scene: Scene) -> None:
    await _never_read(scene, services.NODE_QUERY.path, encode(v1.QueryRequest(query=_ordered())), 4, 1)


@ATTACKS.add("200 answers of 4 MB that nobody reads, with windows of 2 GiB", records=RECORDS)
async def unread_answers(scene: Scene) -> None:
    query = encode(banyandb.QueryRequest(groups=["sw"], name="filled", limit=900))
    attacker = await scene.target.open(frames.WIDE_GREETING, reads=False, receive_buffer_bytes=4096)
    for stream in range(1, 400, 2):
        await attacker.send(frames.request(stream, services.QUERY.path, query))


@ATTACKS.add("16 clients, each with one ordered query after the other", records=RECORDS)
async def ordered_queries(scene: Scene) -> None:
    async def once(channel: Channel, _: int) -> None:
        query = _ordered()
        query.limit = 10
        await channel.unary(services.QUERY, query, timeout=30)

    await callers(scene, 16, once)


@ATTACKS.add("8 sessions on each of 8 connections that say nothing")
async def silent_sessions(scene: Scene) -> None:
    begun = b"".join(frames.call(stream, REPAIR) for stream in range(1, 16, 2))

    async def one() -> None:
        while True:
            attacker = await scene.target.open()
            await attacker.send(begun)
            with trio.move_on_after(1):
                await attacker.wait_closed()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(one)


@ATTACKS.add("an import that goes on after a bad record, beside a health watch and a call")
async def early_end(scene: Scene) -> None:
    attacker = await scene.target.open()
    await attacker.send(frames.call(1, WATCH) + frames.data_frames(1, frames.message(b""), end=True))
    bad = encode(v1.ImportRequest(group="sw", records=[v1.Record(property=b"\x08\x01")]))
    part = frames.data_frames(1, b"")
    stream = 3
    while not attacker.over:
        await attacker.send(frames.call(stream, services.NODE_IMPORT.path))
        part = b"".join(frames.frame(frames.DATA, 0, stream, frames.message(bad)) for _ in range(3000))
        await attacker.send(part + frames.request(stream + 2, services.NODE_STATUS.path, b""))
        stream += 4
        await trio.sleep(0.1)


@ATTACKS.add("1,000 calls with deadlines of 50 ms, at once and again")
async def deadline_storm(scene: Scene) -> None:
    async def once(channel: Channel, number: int) -> None:
        group = "sw"
        request = v1.GetRequest(group=group, name="storm", id=str(number), ack="quorum")
        await channel.unary(services.NODE_GET, request, timeout=0.05)

    await callers(scene, 1000, once, channels=5)


@ATTACKS.add("1,200 exports begun and cancelled, again and again", records=RECORDS)
async def cancelled_streams(scene: Scene) -> None:
    attacker = await scene.target.open(frames.WIDE_GREETING)
    asked = encode(v1.ExportRequest(group="sw"))
    for stream in range(1, 2**31, 2):
        if not await attacker.send(frames.request(stream, services.NODE_EXPORT.path, asked)):
            attacker = await scene.target.open(frames.WIDE_GREETING)
        await attacker.send(frames.reset(stream))
        if stream % 200 == 1:
            await trio.sleep(0.05)
