"""Watches of clients against whole nodes, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from gossipnode.rpc import Channel, ClientStream
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.property.property_edit import read_property

PATIENCE_SECONDS = 600.0


class Watching:
    """One watch, as a client sees it."""

    def __init__(self, stream: ClientStream[Any, v1.WatchResponse]) -> None:
        self.stream = stream
        self.token = b""
        self._patience = 0.0
        self._waiting: list[v1.WatchEvent] = []

    async def next(self) -> v1.WatchEvent:
        """The next event, with the token that is known by then."""
        self._patience = trio.current_time() + PATIENCE_SECONDS
        while not self._waiting:
            # A watch that tells nothing shows that it is there, for ever: the test must end all the same.
            if trio.current_time() > self._patience:
                raise AssertionError("the watch tells nothing")
            answer = await self.stream.recv()
            assert answer is not None, "the watch has ended"
            self._waiting += answer.events
            self.token = answer.token or self.token
        return self._waiting.pop(0)

    async def next_shortly(self) -> tuple[str, ...]:
        """The next event, in short."""
        return shortly(await self.next())

    async def take(self, count: int) -> list[tuple[str, ...]]:
        """The next events, in short."""
        return [shortly(await self.next()) for _ in range(count)]

    async def until_ready(self) -> list[tuple[str, ...]]:
        """The events before `ready`, in short, in the order of their keys."""
        events: list[tuple[str, ...]] = []
        while (event := await self.next()).event != "ready":
            events.append(shortly(event))
        return sorted(events)

    async def all_ids(self, told: set[str]) -> None:
        """Add the ids of all events that come, until the watch ends."""
        while True:
            told.add(shortly(await self.next())[1])

    async def nothing_for(self, seconds: float) -> None:
        """No event comes for a while."""
        with trio.move_on_after(seconds):
            raise AssertionError(shortly(await self.next()))


def shortly(event: v1.WatchEvent) -> tuple[str, ...]:
    """An event as (event, id), with (event,) for those of no record."""
    if not event.record.property:
        return (event.event,)
    return event.event, read_property(event.record.property).entity.id


@asynccontextmanager
async def watch(channel: Channel, group: str = "sw", **asked: Any) -> AsyncGenerator[Watching]:
    """A watch for as long as the block lasts."""
    async with channel.stream(services.WATCH, timeout=None) as stream:
        await stream.send(v1.WatchRequest(group=group, **asked))
        await stream.half_close()
        yield Watching(stream)
