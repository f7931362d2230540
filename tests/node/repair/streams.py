"""A stream in memory, as a session sees a gRPC stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import trio

MESSAGE_BYTES = 64 << 10
"""What each message counts as."""


class Pipe:
    """One direction of a stream: messages in order, no more of them unread than its window holds."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.messages: deque[Any] = deque()
        self.taken = 0
        self.bytes_in = 0
        self.ended = False
        self.error: Exception | None = None
        self._changed = trio.Event()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def end(self, error: Exception | None = None) -> None:
        self.ended, self.error = True, error
        self._change()

    async def put(self, *messages: Any) -> None:
        for message in messages:
            while len(self.messages) >= self.window:
                await self._changed.wait()
            self.messages.append(message)
            self.bytes_in += MESSAGE_BYTES
            self._change()
        await trio.lowlevel.checkpoint()

    async def take(self, most: int) -> list[Any]:
        await trio.lowlevel.checkpoint()
        while not self.messages:
            if self.error is not None:
                raise self.error
            if self.ended:
                return []
            await self._changed.wait()
        batch = [self.messages.popleft() for _ in range(min(most, len(self.messages)))]
        self.taken += len(batch)
        self._change()
        return batch


class FakeStream:
    """One side of two pipes, as a session sees a gRPC stream."""

    def __init__(self, inbound: Pipe, outbound: Pipe) -> None:
        self.inbound = inbound
        self.outbound = outbound

    @property
    def bytes_sent(self) -> int:
        return self.outbound.bytes_in

    async def recv_batch(self, max_messages: int) -> Sequence[Any]:
        return await self.inbound.take(max_messages)

    async def send_batch(self, messages: Sequence[Any]) -> None:
        await self.outbound.put(*messages)

    async def half_close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.outbound.end()


def stream_pair(window: int) -> tuple[FakeStream, FakeStream]:
    there, back = Pipe(window), Pipe(window)
    return FakeStream(back, there), FakeStream(there, back)
