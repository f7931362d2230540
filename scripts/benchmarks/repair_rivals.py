"""The same differences between two replicas, repaired by us, by Redis and by etcd, with the ratios.

Two processes of each on loopback, all durable. Redis: a primary and a replica with `appendfsync always`; the
replica is cut off and follows again. etcd: a voter and a learner, which is stopped by a signal and goes on.
One that is not installed is left out, and said so.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from benchmarks.nodes import BenchmarkError, record
from benchmarks.repair import scenario
from benchmarks.rivals import (
    VALUE,
    etcd_field,
    etcd_method,
    etcd_put,
    missing,
    redis_command,
    redis_lines,
    redis_request,
    running,
    until_it_works,
)
from benchmarks.scale import Scale
from gossipnode.cli.local.local_nodes import free_addresses
from gossipnode.config.address import Address
from gossipnode.rpc import Channel

SCENARIOS = ("empty_replica", "missed", "diverged", "one_changed", "identical")
POLL_SECONDS = 0.002
EQUAL_SECONDS = 600.0
"""The longest time that a rival may take until its replicas are equal."""

PIPELINED = 256
PUTS_AT_ONCE = 64


async def repair_rivals(scale: Scale) -> dict[str, object]:
    """Seconds until both replicas hold the same and have it on disk, and our times as multiples of theirs."""
    ours = await _ours(scale)
    figures: dict[str, Any] = {"gossipnode": ours, "redis": await _redis(scale), "etcd": await _etcd(scale)}
    figures["ratios"] = {name: ratios(ours, figures[name]) for name in ("redis", "etcd")}
    return figures


def ratios(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, float]:
    """Our seconds as multiples of theirs, for each scenario that both have."""
    return {
        name: round(ours[name]["seconds"] / theirs[name]["seconds"], 2)
        for name in SCENARIOS
        if name in theirs and "seconds" in theirs[name]
    }


async def _ours(scale: Scale) -> dict[str, Any]:
    count, changed = scale.records, min(scale.records, scale.changed_records_max)
    every, half = [record(number) for number in range(count)], changed // 2
    newer = [record(number, 1) for number in range(changed)]
    return {
        "empty_replica": await scenario(every, []),
        "missed": await scenario(every, every, newer),
        "diverged": await scenario(every, every, newer[half:], later_a=newer[:half]),
        "one_changed": await scenario(every, every, [record(count // 2, 1)]),
        "identical": await scenario(every, every, digests_there=True),
    }


async def _equal_after(begin: Callable[[], Awaitable[object]], equal: Callable[[], Awaitable[bool]]) -> float:
    """The seconds from `begin` until `equal`."""
    began = time.perf_counter()
    await begin()
    with trio.move_on_after(EQUAL_SECONDS):
        while not await equal():  # noqa: ASYNC110 - another process tells nobody
            await trio.sleep(POLL_SECONDS)
        return round(time.perf_counter() - began, 4)
    raise BenchmarkError(f"the replicas were not equal within {EQUAL_SECONDS:g} s")


# Redis


@dataclass(slots=True)
class _Redis:
    """One process of Redis."""

    address: Address
    stream: trio.SocketStream

    async def ask(self, *parts: bytes) -> bytes:
        """A request whose answer is one line."""
        await self.stream.send_all(redis_request(*parts))
        return await redis_lines(self.stream, 1)

    async def info(self, section: bytes) -> dict[str, str]:
        """The figures of a section of INFO."""
        await self.stream.send_all(redis_request(b"INFO", section))
        data = await redis_lines(self.stream, 1)
        length = int(data[1 : data.index(b"\r\n")])
        while len(data) < data.index(b"\r\n") + length + 4:
            data += await self.stream.receive_some()
        return dict(line.split(":", 1) for line in data.decode().splitlines() if ":" in line)

    async def fill(self, numbers: range, value: bytes) -> None:
        """Write records, many in one go."""
        for first in range(numbers.start, numbers.stop, PIPELINED):
            batch = range(first, min(first + PIPELINED, numbers.stop))
            await self.stream.send_all(b"".join(redis_request(b"SET", b"k%d" % at, value) for at in batch))
            await redis_lines(self.stream, len(batch))

    async def follow(self, primary: Address) -> None:
        """Become the replica of a process, or go on as such."""
        await self.ask(b"REPLICAOF", primary.host.encode(), b"%d" % primary.port)


async def _redis(scale: Scale) -> dict[str, Any]:
    if skipped := missing("redis-server"):
        return skipped
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-bench-"))
    addresses = free_addresses(3)
    commands = [
        [*redis_command(directory, each, None), "--repl-backlog-size", "64mb"] for each in addresses[:2]
    ]
    try:
        async with running(commands), _redis_of(addresses[0]) as primary, _redis_of(addresses[1]) as replica:
            return await _redis_scenarios(primary, replica, addresses[2], scale)
    finally:
        shutil.rmtree(directory)


@asynccontextmanager
async def _redis_of(address: Address) -> AsyncIterator[_Redis]:
    async def answers() -> None:
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await _Redis(address, stream).ask(b"PING")

    await until_it_works(answers)
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        yield _Redis(address, stream)


async def _redis_scenarios(
    primary: _Redis, replica: _Redis, nowhere: Address, scale: Scale
) -> dict[str, Any]:
    changed = min(scale.records, scale.changed_records_max)
    await primary.fill(range(scale.records), VALUE)

    async def joined() -> dict[str, Any]:
        """Let the replica follow the primary, until it has all on disk."""

        async def equal() -> bool:
            link, disk = await replica.info(b"replication"), await replica.info(b"persistence")
            there = link.get("master_link_status") == "up" and disk["aof_rewrite_in_progress"] == "0"
            behind = int((await primary.info(b"replication"))["master_repl_offset"]) - int(
                link.get("slave_repl_offset", "-1")
            )
            return there and disk["aof_rewrite_scheduled"] == "0" and behind <= 0

        return {"seconds": await _equal_after(lambda: replica.follow(primary.address), equal)}

    figures = {"empty_replica": await joined()}
    for name, writes in (("missed", changed), ("one_changed", 1), ("identical", 0)):
        await replica.follow(nowhere)
        await primary.fill(range(writes), VALUE + b"2")
        figures[name] = await joined()
    await replica.ask(b"REPLICAOF", b"NO", b"ONE")
    await primary.fill(range(changed // 2), VALUE + b"3")
    await replica.fill(range(scale.records, scale.records + changed // 2), VALUE)
    before = await replica.ask(b"DBSIZE")
    figures["diverged"] = await joined()
    figures["diverged"]["records_lost"] = int(before[1:]) - int((await replica.ask(b"DBSIZE"))[1:])
    return figures


# etcd

# The numbers of etcd's public API: MemberAddRequest has peerURLs = 1 and isLearner = 2, and StatusResponse
# has the index up to which the log is applied as its number 7.
_ADD = etcd_method("/etcdserverpb.Cluster/MemberAdd")
_STATUS = etcd_method("/etcdserverpb.Maintenance/Status")


async def _etcd(scale: Scale) -> dict[str, Any]:
    if skipped := missing("etcd"):
        return skipped
    directory = Path(tempfile.mkdtemp(prefix="gossipnode-bench-"))
    clients, peers = free_addresses(2), free_addresses(2)
    first = _etcd_command(directory, clients[0], peers, 0)
    try:
        async with running([first]), _etcd_of(clients[0]) as voter:
            await until_it_works(lambda: etcd_put(voter, 0))
            await _etcd_fill(voter, scale.records)
            request = etcd_field(1, f"http://{peers[1]}".encode()) + b"\x10\x01"
            await voter.unary(_ADD, request, timeout=10)
            return await _etcd_scenarios(directory, voter, clients, peers, scale)
    finally:
        shutil.rmtree(directory)


def _etcd_command(directory: Path, client: Address, peers: list[Address], at: int) -> list[str]:
    members = ",".join(f"m{number}=http://{peer}" for number, peer in enumerate(peers[: at + 1]))
    return [
        "etcd",
        *("--name", f"m{at}", "--data-dir", str(directory / f"m{at}")),
        *("--listen-client-urls", f"http://{client}", "--advertise-client-urls", f"http://{client}"),
        *(
            "--listen-peer-urls",
            f"http://{peers[at]}",
            "--initial-advertise-peer-urls",
            f"http://{peers[at]}",
        ),
        *("--initial-cluster", members, "--initial-cluster-state", "existing" if at else "new"),
    ]


@asynccontextmanager
async def _etcd_of(address: Address) -> AsyncIterator[Channel]:
    async with Channel(lambda: trio.open_tcp_stream(address.host, address.port)) as channel:  # noqa: ASYNC105
        yield channel


async def _etcd_fill(channel: Channel, count: int) -> None:
    numbers = iter(range(count))

    async def put() -> None:
        for number in numbers:
            await etcd_put(channel, number)

    async with trio.open_nursery() as nursery:
        for _ in range(PUTS_AT_ONCE):
            nursery.start_soon(put)


async def _applied(channel: Channel) -> int:
    """How far a member has applied the log."""
    status: bytes = await channel.unary(_STATUS, b"", timeout=10)
    return varint_field(status, 7)


async def _etcd_scenarios(
    directory: Path, voter: Channel, clients: list[Address], peers: list[Address], scale: Scale
) -> dict[str, Any]:
    changed = min(scale.records, scale.changed_records_max)
    began = time.perf_counter()
    async with (
        running([_etcd_command(directory, clients[1], peers, 1)]) as (pid,),
        _etcd_of(clients[1]) as learner,
    ):

        async def equal() -> bool:
            return await _applied(learner) >= await _applied(voter)

        await until_it_works(lambda: _applied(learner))
        await _equal_after(trio.lowlevel.checkpoint, equal)
        figures: dict[str, Any] = {"empty_replica": {"seconds": round(time.perf_counter() - began, 3)}}

        async def go_on() -> None:
            os.kill(pid, signal.SIGCONT)

        for name, writes in (("missed", changed), ("one_changed", 1), ("identical", 0)):
            os.kill(pid, signal.SIGSTOP)
            await _etcd_fill(voter, writes)
            figures[name] = {"seconds": await _equal_after(go_on, equal)}
    figures["diverged"] = {"skipped": "replicas of etcd cannot diverge"}
    return figures


def varint_field(message: bytes, wanted: int) -> int:
    """A number in a message of protobuf; 0 if it is not there."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, at = _varint(message, at)
        if key & 7 == 2:
            at += number
        elif key >> 3 == wanted:
            return number
    return 0


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
