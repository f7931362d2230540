"""The watches of etcd under the same loads: three members, each watch a stream of its own, as ours are."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from benchmarks.nodes import BenchmarkError
from benchmarks.repair_rivals import varint_field
from benchmarks.rivals import etcd_channel, etcd_cluster, etcd_field, etcd_method, etcd_varint, missing
from benchmarks.scale import Scale
from benchmarks.watch_loads import TEXT, Receive, WatchedSystem, watch_loads
from gossipnode.rpc import Cardinality, Channel, Method
from gossipnode.wire.varint import read_varint

FILLED_AT_ONCE = 64

# The numbers of etcd's public API: WatchRequest has create_request = 1, in which key = 1, range_end = 2 and
# start_revision = 3; PutRequest has key = 1 and value = 2, RangeRequest has key = 1; answers have header = 1,
# in which revision = 3.
_PUT, _RANGE = etcd_method("/etcdserverpb.KV/Put"), etcd_method("/etcdserverpb.KV/Range")
_WATCH: Method[bytes, bytes] = Method(
    "/etcdserverpb.Watch/Watch", Cardinality.STREAM_STREAM, bytes, bytes, bytes, bytes
)
_HEADER_KEY = b"\x0a"


async def watch_etcd(scale: Scale) -> dict[str, object]:
    if skipped := missing("etcd"):
        return skipped
    async with etcd_cluster() as (addresses, pids), etcd_channel(addresses[0]) as written:

        async def write(name: str, identity: str) -> object:
            return await written.unary(_PUT, _put(name, identity), timeout=30)

        async def fill(name: str, count: int) -> None:
            left = iter(range(count))

            async def put() -> None:
                for number in left:
                    await write(name, f"w0-0-{number}w")

            async with trio.open_nursery() as nursery:
                for _ in range(FILLED_AT_ONCE):
                    nursery.start_soon(put)

        async def place(channel: Channel, name: str) -> bytes:
            answer = await channel.unary(_RANGE, etcd_field(1, name.encode()), timeout=30)
            return b"%d" % (revision_of(answer) + 1)

        named = {f"m{at}": pid for at, pid in enumerate(pids)}
        system = WatchedSystem(named, pids[1], write, lambda: etcd_channel(addresses[1]), _watch, place, fill)
        return {**await watch_loads(system, scale)}


def _put(name: str, identity: str) -> bytes:
    return etcd_field(1, f"{name}/{identity}".encode()) + etcd_field(2, TEXT)


@asynccontextmanager
async def _watch(channel: Channel, name: str, place: bytes) -> AsyncGenerator[Receive]:
    create = etcd_field(1, f"{name}/".encode()) + etcd_field(2, f"{name}0".encode())  # "0" follows "/"
    if place:
        create += b"\x18" + etcd_varint(int(place))
    async with channel.stream(_WATCH, timeout=None) as stream:
        await stream.send(etcd_field(1, create))
        if await stream.recv() is None:
            raise BenchmarkError("etcd has ended a watch")
        yield stream.recv


def revision_of(answer: bytes) -> int:
    """The revision in the header of an answer."""
    if answer[:1] != _HEADER_KEY:
        raise BenchmarkError("an answer of etcd without a header")
    size, at = read_varint(answer, 1)
    return varint_field(answer[at : at + size], 3)
