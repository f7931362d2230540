"""Two hosts, and connections between them over links."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import trio

from gossipnode.config.address import Address
from gossipnode.sim.world.link_network import LinkListener, LinkNetwork
from gossipnode.sim.world.link_stream import LinkStream
from gossipnode.sim.world.links import Links

AB, BA = ("a", "b"), ("b", "a")
Ask = Callable[[], Awaitable[object]]
B = Address("b", 7400)


class Linked:
    """Hosts a and b. b listens, once `listen` was called."""

    def __init__(self, latency: float = 0.0) -> None:
        self.links = Links(random.Random(7), (latency, latency))
        self.network = LinkNetwork(self.links)

    async def listen(self) -> LinkListener:
        (listener,) = await self.network.host("b").listen(B)
        return listener

    async def connect(self) -> LinkStream:
        return await self.network.host("a").connect(B)

    async def pair(self) -> tuple[LinkStream, LinkStream]:
        """A connection that a has opened to b: a's end, and b's."""
        listener = await self.listen()
        near = await self.connect()
        far = await listener.accept()
        await listener.aclose()
        return near, far


async def seconds_until(ask: Ask, seconds: float, change: Callable[[], object]) -> float:
    """How long something takes when a change comes after so many seconds."""
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def act() -> None:
            await trio.sleep(seconds)
            change()

        await ask()
        ended = trio.current_time()
    return ended - begun
