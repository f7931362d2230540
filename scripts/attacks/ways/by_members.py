"""A member of the ring that means harm: what it answers when the attacked node compares its shard with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from attacks import frames
from attacks.attack import Attacks, Scene
from attacks.clusters import Kind
from attacks.ways.on_messages import crowd
from gossipnode.rpc import Method, RpcError, Server
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.round_codec import event_content

ATTACKS = Attacks()

RAW_REPAIR: Method[bytes, bytes] = Method(
    services.REPAIR.path, services.REPAIR.cardinality, bytes, bytes, bytes, bytes
)
MISMATCH = frames.field(1, b"\x08\x01")
"""A root_compare: there is a tree, and it differs."""

Answer = Callable[[Any], Awaitable[None]]
"""The server's side of a session, over a stream of raw messages."""


async def _be_a_member(scene: Scene, answer: Answer) -> None:
    """Serve as the hostile member, and have the attacked node compare itself with it, again and again."""
    address = scene.cluster.hostile
    assert address is not None
    listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    async with trio.open_nursery() as nursery:
        await nursery.start(Server({RAW_REPAIR: answer}).serve, listeners)
        await _ask_for_rounds(scene)


async def _ask_for_rounds(scene: Scene) -> None:
    ending = scene.target.ending
    async with scene.cluster.channel() as channel:
        while True:
            try:
                async with channel.stream(services.NODE_REPAIR, timeout=None) as stream:
                    await stream.send(v1.RepairRequest(group="sw", wait=True))
                    await stream.half_close()
                    while (event := await stream.recv()) is not None:
                        content = event_content(event)
                        if isinstance(content, v1.Round):
                            ending.statuses[f"round {content.outcome}"] += 1
            except RpcError as error:
                ending.statuses[f"{error.status.name} {error}"[:60]] += 1
            await trio.sleep(0.05)


async def _after_the_verdict(stream: Any, *messages: bytes) -> None:
    """Say that the trees differ, then these messages, and wait for whatever the node says to them."""
    await stream.recv()
    await stream.send(MISMATCH)
    for message in messages:
        await stream.send(message)
    while await stream.recv() is not None:
        pass


@ATTACKS.add("pages of 4 MiB of empty leaves", kind=Kind.RING)
async def empty_leaves(scene: Scene) -> None:
    page = frames.field(2, crowd(b"\x12\x00"))
    await _be_a_member(scene, lambda stream: _after_the_verdict(stream, page, page, page))


@ATTACKS.add("pages with as many leaves as are allowed", kind=Kind.RING)
async def full_pages(scene: Scene) -> None:
    leaves = b"".join(
        frames.field(2, b"\x10\x01" + frames.field(3, b"sw/n/%08d" % at) + frames.field(4, b"a" * 32))
        for at in range(70_000)
    )
    await _be_a_member(scene, lambda stream: _after_the_verdict(stream, frames.field(2, leaves)))


@ATTACKS.add("a leaf of two million unknown fields", kind=Kind.RING)
async def unknown_leaves(scene: Scene) -> None:
    page = frames.field(2, frames.field(2, crowd(b"\x78\x01")))
    await _be_a_member(scene, lambda stream: _after_the_verdict(stream, page))


@ATTACKS.add("answers of 1 MiB with 500,000 empty tags", kind=Kind.RING)
async def tags_from_a_member(scene: Scene) -> None:
    answer = frames.field(3, b"\x08\x01" + frames.field(2, frames.field(2, b"\x1a\x00" * 500_000)))
    await _be_a_member(scene, lambda stream: _after_the_verdict(stream, *[answer] * 16))


@ATTACKS.add("a successor that says nothing after the root", kind=Kind.RING)
async def silent_successor(scene: Scene) -> None:
    async def answer(stream: Any) -> None:
        await stream.recv()
        await trio.sleep_forever()

    await _be_a_member(scene, answer)
