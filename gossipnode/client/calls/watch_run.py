"""A watch while it runs: a task takes the events, and goes on at another node when one is lost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from gossipnode.client.calls.pool import Pool, Tries, Try
from gossipnode.client.calls.requests import WatchOptions, watch_request
from gossipnode.client.calls.retry_rules import CallKind
from gossipnode.client.calls.streamed import Streamed, fill
from gossipnode.client.errors import ClientError
from gossipnode.client.values.watched import WatchEvent, read_event, shown_token
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages

WATCH_SILENCE_SECONDS = 15.0
"""A node that is silent for this time is given up. One without events shows every 5 s that it is there."""

EventItem: TypeAlias = list[WatchEvent] | ClientError | None


class WatchEvents(Streamed[WatchEvent]):
    """The events of a watch, as they come. Iterate over it once, in one task.

    A watch that is left ends when this object is garbage-collected, or when `aclose` is called.
    """

    what = "watch"


@dataclass(slots=True)
class WatchRun:
    """The background task: asks one node, hands out the events, and asks another when that one is lost."""

    pool: Pool
    options: WatchOptions
    _token: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._token = self.options.since

    async def run(self, items: MemoryObjectSendStream[EventItem], scope: anyio.CancelScope) -> None:
        """Run until the reader has left and cancels `scope`, or no node can be asked."""
        await fill(items, scope, partial(self._run, items))

    async def _run(self, items: MemoryObjectSendStream[EventItem]) -> None:
        tries = Tries(self.pool, CallKind.READ)
        while True:
            one = await tries.next()
            heard = [False]
            try:
                await self._ask(one, items, heard)
            except RpcError as error:
                if heard[0]:
                    tries = Tries(self.pool, CallKind.READ)
                tries.failed(one, error)

    async def _ask(self, one: Try, items: MemoryObjectSendStream[EventItem], heard: list[bool]) -> None:
        """Hand out all that one node tells. `heard` says afterwards whether it was anything.

        Raises:
            RpcError: the node is lost, or refuses.
        """
        with anyio.CancelScope(deadline=anyio.current_time() + one.seconds) as silence:
            request = watch_request(self.options, self._token)
            async with one.node.transport.stream(services.WATCH, request) as next_answer:
                while (answer := await next_answer()) is not None:
                    silence.deadline = math.inf
                    if not heard[0]:
                        heard[0] = True
                        self.pool.choice.succeeded(one.number)
                    before, self._token = self._token, answer.token or self._token
                    events = [
                        read_event(event, self.options.group, shown_token(self._after(before, at, answer)))
                        for at, event in enumerate(answer.events)
                    ]
                    if events and not silence.cancel_called:
                        await items.send(events)
                    silence.deadline = anyio.current_time() + WATCH_SILENCE_SECONDS
        if silence.cancelled_caught:
            raise RpcError(Status.DEADLINE_EXCEEDED, "the watch is silent")
        raise RpcError(Status.UNAVAILABLE, "the node ended the watch")

    def _after(self, before: bytes, at: int, answer: messages.WatchResponse) -> bytes:
        """From where a watch goes on that has had the events up to number `at` of an answer."""
        return self._token if at == len(answer.events) - 1 else before
