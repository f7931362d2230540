"""A link and the replica at its far end, on a network in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import Address
from gossipnode.core.cluster.boots import BootMark
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.replica_messages import (
    SAME,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    Wanted,
    WriteRecords,
)
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.exchange_link import Answer, ExchangeLink
from gossipnode.node.replica.exchange import ReplicaExchange
from gossipnode.rpc import CallContext, Channel, RpcError, Server, ServerStream
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.generated.pb.gossipnode.v1.replica_pb2 import ExchangeReply, ExchangeRequest
from gossipnode.wire.replica.replica_codec import add_request
from tests.node.support import memory_store
from tests.records import entity

SHARD = ShardId("sw", 0)
FENCE = b"12345678"
PEER = Address("b", 1)

Request = ReadRecords | WriteRecords
Answers = dict[Any, Answer | RpcError]


def read(*keys: str, known: Version | None = None) -> ReadRecords:
    return ReadRecords(SHARD, FENCE, tuple(Wanted(entity(f"n/{key}"), known) for key in keys))


def write(*records: Record, request_id: str = "") -> WriteRecords:
    return WriteRecords(SHARD, FENCE, records, request_id)


def batch_of(*requests: ReadRecords | WriteRecords) -> ExchangeRequest:
    batch = ExchangeRequest()
    for number, request in enumerate(requests):
        add_request(batch, number, request)
    return batch


def key_of(request: ReadRecords) -> str:
    return request.wanted[0].entity.id


class Replica:
    """The far end: a store, and what its handlers were given."""

    def __init__(self) -> None:
        self.store = memory_store()
        self.reads: list[ReadRecords] = []
        self.writes: list[list[WriteRecords]] = []
        self.mark: BootMark | None = None
        self.exchange = ReplicaExchange(self.read, self.write, lambda: self.mark, self.refuse)

    def refuse(self, _call: CallContext) -> None:
        """Every stream is served."""

    async def read(self, request: ReadRecords) -> RecordsRead | Refusal:
        self.reads.append(request)
        found = await self.store.read(SHARD, [wanted.entity for wanted in request.wanted])
        pairs = zip(found, request.wanted, strict=True)
        return RecordsRead(
            tuple(SAME if one is not None and one.version == wanted.known else one for one, wanted in pairs)
        )

    async def write(self, requests: Sequence[WriteRecords]) -> list[RecordsWritten | Refusal]:
        self.writes.append(list(requests))
        records = [(SHARD, each) for request in requests for each in request.records]
        results = iter(await self.store.write(records))
        return [RecordsWritten(tuple(next(results) for _ in request.records)) for request in requests]


def handlers(
    read: Callable[[ReadRecords], Awaitable[Any]] | None = None,
    write: Callable[[Sequence[WriteRecords]], Awaitable[Any]] | None = None,
) -> dict[Any, Any]:
    """A far end that answers reads, or writes, in its own way."""
    replica = Replica()
    return ReplicaExchange(
        read or replica.read, write or replica.write, lambda: None, replica.refuse
    ).handlers()


class Wire(trio.abc.HalfCloseableStream):
    """The near end of a connection. Nothing goes over it while its peer is frozen, or after `snap`."""

    def __init__(self, end: Any) -> None:
        self._end = end
        self._goes = trio.Event()
        self._goes.set()
        self._snapped = False
        self._receiving = trio.CancelScope()

    def freeze(self) -> None:
        self._goes = trio.Event()

    def thaw(self) -> None:
        self._goes.set()

    def snap(self) -> None:
        """Lose the connection now, before anything else happens."""
        self._snapped = True
        self._receiving.cancel()

    async def send_all(self, data: Any) -> None:
        await self._goes.wait()
        await self._end.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._goes.wait()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        with trio.CancelScope() as self._receiving:
            if self._snapped:
                self._receiving.cancel()
            data = await self._end.receive_some(max_bytes)
            await self._goes.wait()
            return data  # type: ignore[no-any-return]
        raise trio.BrokenResourceError("the connection was lost")

    async def send_eof(self) -> None:
        await self._end.send_eof()

    async def aclose(self) -> None:
        await self._end.aclose()


class Pair:
    """A link, and a network where its peer is started and stopped."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.wires: list[Wire] = []
        self.nursery: trio.Nursery
        self.channel: Channel
        self.link: ExchangeLink
        self.server: Server
        self.dials = 0
        self.memory = MemoryBudget()
        self.commits: list[tuple[int, int]] = []
        self._serving = trio.CancelScope()
        self._stopped = trio.Event()

    async def connect(self) -> trio.abc.Stream:
        self.dials += 1
        wire = Wire(await self.network.connect(PEER))
        self.wires.append(wire)
        return wire

    async def serve(self, handlers: dict[Any, Any]) -> None:
        listeners = await self.network.listen(PEER)
        self.server = Server(handlers, memory=self.memory)
        self._serving, self._stopped = trio.CancelScope(), trio.Event()

        async def serve() -> None:
            with self._serving:
                await self.server.serve(listeners)
            self._stopped.set()

        self.nursery.start_soon(serve)

    def committed(self, boot: int, commit: int) -> None:
        self.commits.append((boot, commit))

    async def kill(self) -> None:
        self._serving.cancel()
        await self._stopped.wait()


@asynccontextmanager
async def linked(far: dict[Any, Any] | Replica | None) -> AsyncIterator[Pair]:
    """A link to a server with these handlers. With None, no server listens."""
    pair = Pair()
    async with trio.open_nursery() as pair.nursery:
        async with Channel(pair.connect, authority="b:1") as pair.channel:
            if far is not None:
                await pair.serve(far.exchange.handlers() if isinstance(far, Replica) else far)
            pair.link = ExchangeLink(pair.channel, {call_metadata.NODE: "a"}, pair.committed)
            await pair.nursery.start(pair.link.run)
            yield pair
            pair.nursery.cancel_scope.cancel()


@asynccontextmanager
async def asking(
    link: ExchangeLink, requests: dict[Any, Request], seconds: float = 5.0
) -> AsyncIterator[Answers]:
    """Send all requests at once. Their answers are there at the end of the block."""
    answers: Answers = {}

    async def ask(name: Any, request: Request) -> None:
        try:
            answers[name] = await link.ask(request, timeout=seconds)
        except RpcError as error:
            answers[name] = error

    async with trio.open_nursery() as nursery:
        for name, request in requests.items():
            nursery.start_soon(ask, name, request)
        yield answers


async def ask_all(link: ExchangeLink, requests: dict[Any, Request], seconds: float = 5.0) -> Answers:
    async with asking(link, requests, seconds) as answers:
        pass
    return answers


async def refused(link: ExchangeLink, request: Request, seconds: float = 5.0) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await link.ask(request, timeout=seconds)
    return caught.value


Stream = ServerStream[ExchangeRequest, ExchangeReply]


def hanging(*keys: str) -> dict[Any, Any]:
    """A far end that never answers reads of these keys, or of any key if none is given."""

    async def hang(request: ReadRecords) -> RecordsRead:
        if not keys or key_of(request) in keys:
            await trio.sleep_forever()
        return RecordsRead((None,))

    return handlers(read=hang)
