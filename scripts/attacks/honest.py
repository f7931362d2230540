"""Honest clients that keep a node busy: the baseline of all verdicts, and callers in some attacks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count

import trio

from attacks.attack import Attack, Scene
from attacks.clusters import Kind
from benchmarks.nodes import record
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel, RpcError
from gossipnode.wire import services
from gossipnode.wire.record_codec import encode_apply, encode_get

CALLERS = 24
TIMEOUT_SECONDS = 10.0

Call = Callable[[Channel, int], Awaitable[object]]


async def callers(scene: Scene, many: int, once: Call, *, channels: int = 1) -> None:
    """So many clients, each of which calls again as soon as it is answered."""
    numbers = count()

    async def one(channel: Channel) -> None:
        while True:
            try:
                await once(channel, next(numbers))
                scene.target.ending.statuses["0"] += 1
            except RpcError as error:
                scene.target.ending.statuses[f"{error.status.name} {error}"[:60]] += 1
                await trio.sleep(0.01)

    async def all_on_one(share: int) -> None:
        async with scene.cluster.channel() as channel, trio.open_nursery() as nursery:
            for _ in range(share):
                nursery.start_soon(one, channel)

    async with trio.open_nursery() as nursery:
        for _ in range(channels):
            nursery.start_soon(all_on_one, many // channels)


async def _apply_and_get(channel: Channel, number: int) -> None:
    if number % 2:
        message = encode_apply(record(number % 500), ack="quorum")
        await channel.unary(services.NODE_APPLY, message, timeout=TIMEOUT_SECONDS)
    else:
        entity = Entity("sw", f"name-{number % 10}", f"id-{number % 500:08d}")
        await channel.unary(services.NODE_GET, encode_get(entity, ack="quorum"), timeout=TIMEOUT_SECONDS)


async def _load(scene: Scene) -> None:
    await callers(scene, CALLERS, _apply_and_get, channels=3)


def load_on(kind: Kind) -> Attack:
    """The baseline on a kind of cluster: a busy honest node."""
    return Attack(f"busy-{kind.value}", "24 honest clients apply and get 2 KB at quorum", _load, kind)
