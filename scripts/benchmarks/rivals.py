"""The same load on what one would take instead, from the distribution's packages: Redis and etcd.

Redis: one primary with one replica, appendfsync always, WAIT 1 after each SET. etcd: three members. Both are
spoken to directly, with a client as thin as ours. One that is not installed is skipped, and said so.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.load import Ask, load
from benchmarks.scale import CLIENTS, Scale
from gossipnode.cli.local.local_nodes import free_addresses
from gossipnode.config.address import Address
from gossipnode.rpc import Cardinality, Channel, Method, RpcError

VALUE = b"x" * 2048
START_SECONDS = 30.0


async def rivals(scale: Scale) -> dict[str, object]:
    """Writes and reads of 2 KB values, of one client and of 64."""
    return {"redis": await _redis(scale), "etcd": await _etcd(scale)}


def missing(program: str) -> dict[str, object] | None:
    return None if shutil.which(program) else {"skipped": f"{program} is not installed"}


@asynccontextmanager
async def running(commands: list[list[str]]) -> AsyncIterator[list[int]]:
    """The pids of programs that run for as long as the block lasts."""
    processes = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
        for command in commands
    ]
    try:
        yield [process.pid for process in processes]
    finally:
        # Their data goes away with them, and members of etcd would wait for each other for seconds.
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


async def _loads(
    write: Ask, read: Ask, clients: int, pids: Mapping[str, int], scale: Scale
) -> dict[str, object]:
    """Writes, and reads of records that are all there."""
    for number in range(scale.read_records):
        await write(number)
    return {"write": await load(write, clients, pids, scale), "read": await load(read, clients, pids, scale)}


async def until_it_works(attempt: Callable[[], Awaitable[object]]) -> None:
    with trio.fail_after(START_SECONDS):
        while True:
            try:
                await attempt()
            except (OSError, RpcError, trio.BrokenResourceError, ValueError):
                await trio.sleep(0.2)
            else:
                return


# Redis


async def _redis(scale: Scale) -> dict[str, object]:
    if skipped := missing("redis-server"):
        return skipped
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-bench-"))
    primary, replica = free_addresses(2)
    commands = [redis_command(directory, primary, None), redis_command(directory, replica, primary)]
    try:
        async with running(commands) as pids:
            await until_it_works(lambda: _replicated(primary))
            named = dict(zip(("primary", "replica"), pids, strict=True))
            figures: dict[str, object] = {}
            for clients in CLIENTS:
                async with _redis_connections(primary, clients) as ask:

                    async def write(number: int) -> object:
                        return await ask(_set_and_wait(number))

                    async def read(number: int) -> object:
                        return await ask(_redis_get(number % scale.read_records))

                    figures[str(clients)] = await _loads(write, read, clients, named, scale)
            return figures
    finally:
        shutil.rmtree(directory)


def redis_command(directory: Path, address: Address, primary: Address | None) -> list[str]:
    own = directory / str(address.port)
    own.mkdir()
    command = ["redis-server", "--port", str(address.port), "--bind", address.host, "--dir", str(own)]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    command += ["--repl-diskless-sync-delay", "0"]  # the replica is there at once, and not after 5 s
    return command if primary is None else [*command, "--replicaof", primary.host, str(primary.port)]


def redis_request(*parts: bytes) -> bytes:
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _set_and_wait(number: int) -> tuple[bytes, int]:
    """A write, and how many lines answer it."""
    return redis_request(b"SET", b"k%d" % number, VALUE) + redis_request(b"WAIT", b"1", b"0"), 2


def _redis_get(number: int) -> tuple[bytes, int]:
    return redis_request(b"GET", b"k%d" % number), 2


async def _replicated(primary: Address) -> None:
    async with await trio.open_tcp_stream(primary.host, primary.port) as stream:
        await stream.send_all(redis_request(b"SET", b"probe", b"1") + redis_request(b"WAIT", b"1", b"1000"))
        if b":1" not in await redis_lines(stream, 2):
            raise ValueError("no replica yet")


@asynccontextmanager
async def _redis_connections(
    address: Address, clients: int
) -> AsyncIterator[Callable[[tuple[bytes, int]], Awaitable[object]]]:
    """A connection for each client."""
    free = [await trio.open_tcp_stream(address.host, address.port) for _ in range(clients)]
    everyone = list(free)

    async def ask(request: tuple[bytes, int]) -> object:
        stream = free.pop()
        try:
            await stream.send_all(request[0])
            return await redis_lines(stream, request[1])
        finally:
            free.append(stream)

    try:
        yield ask
    finally:
        for stream in everyone:
            await stream.aclose()


async def redis_lines(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while data.count(b"\r\n") < count:
        received = await stream.receive_some()
        if not received or data.startswith(b"-"):
            raise ValueError(f"redis: {data!r}")
        data += received
        if data.startswith(b"$-1"):
            return data
    return data


# etcd


@asynccontextmanager
async def etcd_cluster() -> AsyncIterator[tuple[list[Address], list[int]]]:
    """Three members that answer: their addresses, and their pids."""
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-bench-"))
    addresses = free_addresses(6)
    peers = ",".join(f"m{at}=http://{addresses[3 + at]}" for at in range(3))
    commands = [
        [
            "etcd",
            *("--name", f"m{at}", "--data-dir", str(directory / f"m{at}")),
            *("--listen-client-urls", f"http://{addresses[at]}"),
            *("--advertise-client-urls", f"http://{addresses[at]}"),
            *("--listen-peer-urls", f"http://{addresses[3 + at]}"),
            *("--initial-advertise-peer-urls", f"http://{addresses[3 + at]}"),
            *("--initial-cluster", peers),
        ]
        for at in range(3)
    ]
    try:
        async with running(commands) as pids:
            for address in addresses[:3]:
                async with etcd_channel(address) as channel:
                    await until_it_works(partial(etcd_put, channel, 0))
            yield addresses[:3], pids
    finally:
        shutil.rmtree(directory)


def etcd_channel(address: Address) -> Channel:
    return Channel(lambda: trio.open_tcp_stream(address.host, address.port))  # noqa: ASYNC105


async def _etcd(scale: Scale) -> dict[str, object]:
    if skipped := missing("etcd"):
        return skipped
    async with etcd_cluster() as (addresses, pids), etcd_channel(addresses[0]) as channel:
        named = {f"m{at}": pid for at, pid in enumerate(pids)}

        async def write(number: int) -> object:
            return await etcd_put(channel, number)

        async def read(number: int) -> object:
            return await _etcd_get(channel, number % scale.read_records)

        return {str(clients): await _loads(write, read, clients, named, scale) for clients in CLIENTS}


def etcd_method(path: str) -> Method[bytes, bytes]:
    return Method(path, Cardinality.UNARY_UNARY, bytes, bytes, bytes, bytes)


# The numbers of etcd's public API: PutRequest has key = 1 and value = 2, RangeRequest has key = 1.
_PUT, _RANGE = etcd_method("/etcdserverpb.KV/Put"), etcd_method("/etcdserverpb.KV/Range")


def etcd_varint(number: int) -> bytes:
    found = b""
    while number > 0x7F:
        found, number = found + bytes((number & 0x7F | 0x80,)), number >> 7
    return found + bytes((number,))


def etcd_field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + etcd_varint(len(value)) + value


async def etcd_put(channel: Channel, number: int) -> object:
    request = etcd_field(1, b"k%d" % number) + etcd_field(2, VALUE)
    return await channel.unary(_PUT, request, timeout=10)


async def _etcd_get(channel: Channel, number: int) -> object:
    return await channel.unary(_RANGE, etcd_field(1, b"k%d" % number), timeout=10)
