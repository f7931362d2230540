"""One repair session over one stream: reader -> channel -> core session -> channel -> writer.

The reader never waits for the writer: what is still to be sent is kept by the session as keys, so that two
peers with more to say than the channels hold cannot wait for each other. No rule of the protocol lives here.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar, cast

import trio

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.session.commands import (
    Finish,
    HalfClose,
    Rest,
    Send,
    SessionCounts,
    SessionEnd,
    Step,
    Write,
)
from gossipnode.rpc import RpcError

REPAIR_CHANNEL_BATCHES = 1
"""Lists of messages that each channel of a repair stream holds.

One list of large records has 16 MiB already, and more lists gain nothing.
"""

REPAIR_BATCH_MESSAGES = 16
"""Messages in one list. A channel costs as much for a whole list as for one message."""

TAKEN_MIN_BYTES = 64 << 10
"""A peer that says nothing while it takes so much of what we send is at work: its disk may be slow."""

TAKEN_LOOKS = 4
"""How often the bytes that the peer has taken are looked at, in the time that it may be silent."""

Incoming = TypeVar("Incoming")
Outgoing = TypeVar("Outgoing")
Heard = TypeVar("Heard", covariant=True)
Said = TypeVar("Said", contravariant=True)
Received = TypeVar("Received", contravariant=True)
Commands = TypeVar("Commands", covariant=True)
Commanded = TypeVar("Commanded", contravariant=True)


class MessageStream(Protocol[Heard, Said]):
    """The two verbs that a session needs of a gRPC stream."""

    @property
    def bytes_sent(self) -> int:
        """Bytes that the peer's window has let go."""
        ...

    async def recv_batch(self, max_messages: int) -> Sequence[Heard]:
        """Messages that came, at least one; [] when the peer's half has ended in order."""
        ...

    async def send_batch(self, messages: Sequence[Said]) -> None:
        """Send messages, waiting while the peer does not read."""
        ...


class Session(Protocol[Received, Commands]):
    """Either side of a session in `core`, which documents these methods."""

    counts: SessionCounts

    @property
    def unwritten_full(self) -> bool: ...  # noqa: D102
    @property
    def over(self) -> bool: ...  # noqa: D102
    def receive(self, message: Received, /) -> None: ...  # noqa: D102
    def peer_ended(self) -> None: ...  # noqa: D102
    def next_command(self) -> Commands | None: ...  # noqa: D102
    def next_write(self) -> Write | None: ...  # noqa: D102
    def written(self, outcomes: Sequence[WriteOutcome]) -> None: ...  # noqa: D102


class SessionReads(Protocol[Commanded]):
    """What a session needs of the store: one shard of it. See `shard_store`."""

    async def follow(self, command: Commanded, /) -> Sequence[Step]:
        """Carry out a command, and give what is to be done next."""
        ...

    async def write(self, write: Write) -> list[WriteOutcome]:
        """Store records; returns once they are durable."""
        ...


class RepairStream(Generic[Incoming, Outgoing]):
    """Drives one core session over one stream until it finishes."""

    def __init__(
        self,
        stream: MessageStream[Incoming, Outgoing],
        session: Session[Incoming, Any],
        reads: SessionReads[Any],
        *,
        half_close: Callable[[], Awaitable[None]] | None = None,
        end_wait_seconds: float = math.inf,
        silence_seconds: float = math.inf,
    ) -> None:
        """Drive `session` over `stream`; `reads` carries out its commands.

        `half_close` ends our half of a client's stream.

        The session counts as broken when the peer is silent for `end_wait_seconds` after that, or for
        `silence_seconds` before. The time that our own store works does not count, nor does time in which the
        peer takes what we send.
        """
        self._stream = stream
        self._session = session
        self._reads = reads
        self._half_close = half_close
        self._end_wait_seconds = end_wait_seconds
        self._silence_seconds = silence_seconds
        self._changed = ChangeEvent()
        self._ends_by = trio.CancelScope()
        self._own_work = 0
        self._half_closed = False
        self._read_error: Exception | None = None

    async def run(self) -> SessionEnd:
        """Run the session to its end.

        Raises:
            SessionViolationError: the peer broke the protocol.
            TimeoutError: the peer was silent for too long.
            RpcError, StoreError: the stream or the store failed.
        """
        inbound_in, inbound_out = trio.open_memory_channel[Sequence[Incoming]](REPAIR_CHANNEL_BATCHES)
        outbound_in, outbound_out = trio.open_memory_channel[Sequence[Outgoing]](REPAIR_CHANNEL_BATCHES)
        end = SessionEnd.REPAIRED
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, inbound_in)
                nursery.start_soon(self._decide, inbound_out)
                nursery.start_soon(self._commit)
                nursery.start_soon(self._watch_taken)
                async with trio.open_nursery() as sending:
                    sending.start_soon(self._write, outbound_out)
                    async with outbound_in:
                        end = await self._act(outbound_in)
                # All is sent and all is stored: the reader has nothing left to wait for.
                nursery.cancel_scope.cancel()
        return end

    async def _read(self, inbound: trio.MemorySendChannel[Sequence[Incoming]]) -> None:
        async with inbound:
            while True:
                try:
                    batch = await self._stream.recv_batch(REPAIR_BATCH_MESSAGES)
                except RpcError as error:
                    # The messages before the error count first: one of them may have ended the session.
                    self._read_error = error
                    return
                if not batch:
                    return
                await inbound.send(batch)

    async def _decide(self, inbound: trio.MemoryReceiveChannel[Sequence[Incoming]]) -> None:
        session = self._session
        self._extend_wait()
        with self._ends_by:
            async for batch in inbound:
                self._extend_wait()
                for message in batch:
                    session.receive(message)
                self._changed.notify()
                while session.unwritten_full:
                    await self._changed.wait()
            if self._read_error is None:
                session.peer_ended()
            elif not session.over:
                raise self._read_error
            self._changed.notify()
        if self._ends_by.cancelled_caught:
            if self._half_closed:
                raise TimeoutError(f"the server did not end the session in {self._end_wait_seconds:.0f} s")
            peer = "client" if self._half_close is None else "server"
            raise TimeoutError(f"the {peer} said nothing for {self._silence_seconds:.0f} s")

    async def _commit(self) -> None:
        session = self._session
        while True:
            write = session.next_write()
            if write is None:
                await self._changed.wait()
                continue
            with self._our_turn():
                outcomes = await self._reads.write(write)
            session.written(outcomes)
            self._changed.notify()

    async def _act(self, outbound: trio.MemorySendChannel[Sequence[Outgoing]]) -> SessionEnd:
        session = self._session
        while True:
            command = session.next_command()
            if command is None:
                await self._changed.wait()
                continue
            for step in await self._follow(command):
                if isinstance(step, Finish):
                    return step.end
                if isinstance(step, HalfClose):
                    # An empty list keeps its place among the messages: there the writer closes our half.
                    await outbound.send(())
                    continue
                for at in range(0, len(step.messages), REPAIR_BATCH_MESSAGES):
                    messages = step.messages[at : at + REPAIR_BATCH_MESSAGES]
                    await outbound.send(cast("Sequence[Outgoing]", messages))

    async def _follow(self, command: Any) -> Sequence[Step]:
        """Carry out a command, and give what is to be done next."""
        match command:
            case Rest():
                await trio.lowlevel.checkpoint()
                return ()
            case Send() | HalfClose() | Finish():
                return (command,)
            case _:
                with self._our_turn():
                    steps = await self._reads.follow(command)
                # A session may have one of our own records written once more.
                self._changed.notify()
                return steps

    async def _write(self, outbound: trio.MemoryReceiveChannel[Sequence[Outgoing]]) -> None:
        async with outbound:
            async for batch in outbound:
                if batch:
                    await self._stream.send_batch(batch)
                    self._extend_wait()
                elif self._half_close is not None:
                    await self._half_close()
                    self._half_closed = True
                    self._extend_wait()

    async def _watch_taken(self) -> None:
        """A list of large records may take the peer longer to write than it may be silent."""
        if self._silence_seconds == math.inf:
            return
        taken = self._stream.bytes_sent
        while True:
            await trio.sleep(self._silence_seconds / TAKEN_LOOKS)
            if self._stream.bytes_sent - taken >= TAKEN_MIN_BYTES:
                taken = self._stream.bytes_sent
                self._extend_wait()

    @contextmanager
    def _our_turn(self) -> Generator[None]:
        """While our own store works the peer may well have nothing to say."""
        self._own_work += 1
        self._ends_by.deadline = math.inf
        try:
            yield
        finally:
            self._own_work -= 1
            self._extend_wait()

    def _extend_wait(self) -> None:
        """Begin the wait for the peer again, because the peer or the store has just done something."""
        if self._own_work:
            return
        wait = self._end_wait_seconds if self._half_closed else self._silence_seconds
        self._ends_by.deadline = trio.current_time() + wait
