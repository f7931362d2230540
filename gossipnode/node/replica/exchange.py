"""The answering end between two nodes: takes batches of requests from a stream, and sends their answers.

Requests are handled side by side and answered in any order: one that waits holds up no other. The writes of a
batch go to the store together. What one peer may have unanswered is bounded: at the bound this end reads no
more until answers have been sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeAlias

import structlog
import trio

from gossipnode.concurrency.nursery_errors import first_error
from gossipnode.concurrency.waker import Waker
from gossipnode.core.cluster.boots import BootMark
from gossipnode.core.query.replica_messages import (
    READ_MAX_RECORDS,
    WRITE_MAX_RECORDS,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    WriteRecords,
)
from gossipnode.node.peers.exchange_link import (
    EXCHANGE_BATCH_BYTES,
    EXCHANGE_BATCH_REQUESTS,
    EXCHANGE_REQUEST_MAX_BYTES,
)
from gossipnode.node.refusals.error_status import as_status
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1.replica_pb2 import (
    ExchangeReply,
    ExchangeRequest,
    ReplicaRequest,
)
from gossipnode.wire.replica.replica_codec import add_reply, decode_request, reply_size, request_size
from gossipnode.wire.wire_errors import WireError

EXCHANGE_HANDLED_AT_ONCE = 64
"""Requests of one peer that are handled at once. A read counts once for each record that it names."""

EXCHANGE_IDLE_TASKS_MAX = 8
"""Tasks of a stream that wait for requests. More are started where many come at once, and end afterwards."""

EXCHANGE_UNANSWERED_MAX = 4096
EXCHANGE_UNANSWERED_BYTES = 8 << 20
"""Requests of one peer that are not answered yet, and their bytes with those of replies not sent yet.

At either bound no more requests are read.
"""

HandleRead: TypeAlias = Callable[[ReadRecords], Awaitable[RecordsRead | Refusal]]
HandleWrite: TypeAlias = Callable[[Sequence[WriteRecords]], Awaitable[Sequence[RecordsWritten | Refusal]]]
"""Answers each of the requests, in order."""

Refuse: TypeAlias = Callable[[CallContext], None]
Mark: TypeAlias = Callable[[], BootMark | None]

_Stream: TypeAlias = ServerStream[ExchangeRequest, ExchangeReply]
_Reply: TypeAlias = RecordsRead | RecordsWritten | Refusal


class ReplicaExchange:
    """Serves the streams of all peers."""

    def __init__(
        self, handle_read: HandleRead, handle_write: HandleWrite, mark: Mark, refuse: Refuse
    ) -> None:
        """Answer with what these two give. An error that one of them raises refuses what it was given.

        `mark` says which start of the store this is, and its last commit. `refuse` raises the error for a
        stream whose requests are taken no more; it is asked before each batch.
        """
        self._handle_read = handle_read
        self._handle_write = handle_write
        self._mark = mark
        self._refuse = refuse
        self._open: dict[_Exchange, None] = {}
        self._stopped = False

    def handlers(self) -> dict[Any, Any]:
        """The handlers by method."""
        return {services.REPLICA_EXCHANGE: self.serve}

    async def serve(self, stream: _Stream) -> None:
        """Serve one stream to its end.

        Raises:
            RpcError: the status that ends it.
        """
        if self._stopped:
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        exchange = _Exchange(stream, self._handle_read, self._handle_write, self._mark, self._refuse)
        self._open[exchange] = None
        try:
            await exchange.run()
        finally:
            self._open.pop(exchange, None)
            exchange.close()

    def stop(self) -> None:
        """Read no more requests, and end each stream once all that was read is answered."""
        self._stopped = True
        for exchange in self._open:
            exchange.stop()


class _Read(NamedTuple):
    """A read; its weight is how many records it may bring into memory."""

    number: int
    size: int
    weight: int
    request: ReadRecords


@dataclass(slots=True)
class _Writes:
    """The writes of one batch."""

    numbers: list[int] = field(default_factory=list[int])
    sizes: list[int] = field(default_factory=list[int])
    requests: list[WriteRecords] = field(default_factory=list[WriteRecords])
    weight: int = 1


class _Ready(NamedTuple):
    """A reply that waits to be sent."""

    number: int
    size: int
    reply: _Reply


class _Exchange:
    """One stream, with the requests and replies that are in memory because of it."""

    def __init__(
        self,
        stream: _Stream,
        handle_read: HandleRead,
        handle_write: HandleWrite,
        mark: Mark,
        refuse: Refuse,
    ) -> None:
        self._stream = stream
        self._refuse = refuse
        self._mark = mark
        self._handle_read = handle_read
        self._handle_write = handle_write
        self._reading = trio.CancelScope()
        self._reader = Waker()
        self._sender = Waker()
        self._failure: RpcError | None = None
        # Requests that were read and whose replies are not sent yet, and the bytes of these requests and
        # replies.
        self._unanswered = 0
        self._memory = stream.call.replies.memory.for_use("requests")
        self._bytes = 0
        self._ready: deque[_Ready] = deque()
        self._unsent_bytes = 0
        self._jobs: deque[_Read | _Writes] = deque()
        self._handled_weight = 0
        # Tasks that handle jobs: they park when there is nothing to do.
        self._workers = 0
        self._parked = trio.lowlevel.ParkingLot()

    def stop(self) -> None:
        """Read no more requests."""
        self._reading.cancel()

    def close(self) -> None:
        """Count no memory any more."""
        self._memory.close()

    async def run(self) -> None:
        """Serve until the peer has ended its half, or `stop`, and all that was read is answered.

        Raises:
            RpcError: the stream broke, or what came on it makes no sense.
        """
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._send)
            with self._reading:
                await self._read()
            while self._unanswered:
                await self._reader.sleep()
            assert not any((self._bytes, self._unsent_bytes, self._handled_weight)), self._bytes
            self._nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: RpcError) -> None:
        """End everything by this error. Raised in the nursery, it would reach the caller in a group."""
        self._failure = self._failure or error
        self._nursery.cancel_scope.cancel()

    # Reading

    async def _read(self) -> None:
        try:
            while True:
                while self._full():
                    await self._reader.sleep()
                batch = await self._stream.recv()
                if batch is None:
                    return
                self._refuse(self._stream.call)
                self._take(batch)
                del batch  # or it would stay until the next one comes
        except RpcError as error:
            self._fail(error)

    def _full(self) -> bool:
        """Whether no more requests are read until some are answered."""
        return (
            self._unanswered >= EXCHANGE_UNANSWERED_MAX
            or self._bytes >= EXCHANGE_UNANSWERED_BYTES
            or (self._bytes > 0 and not self._memory.fits(EXCHANGE_BATCH_BYTES))
        )

    def _take(self, batch: ExchangeRequest) -> None:
        """Turn a batch into jobs. A request that makes no sense is refused by itself."""
        writes = _Writes()
        reads: list[_Read] = []
        self._unanswered += len(batch.requests)
        for message in batch.requests:
            try:
                request = _read_request(message)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it refuses this one alone
                self._answer(message.id, 0, _refusal(error))
                continue
            size = request_size(request)
            self._bytes += size
            self._memory.take(size)
            if isinstance(request, ReadRecords):
                reads.append(_Read(message.id, size, len(request.wanted), request))
            else:
                writes.numbers.append(message.id)
                writes.sizes.append(size)
                writes.requests.append(request)
        if writes.requests:
            self._jobs.append(writes)  # first: reads are handled while the disk works
        self._jobs.extend(reads)
        self._start()

    # Handling

    def _startable(self) -> bool:
        """Whether the next job may begin."""
        if not self._jobs:
            return False
        job = self._jobs[0]
        if self._handled_weight and self._handled_weight + job.weight > EXCHANGE_HANDLED_AT_ONCE:
            return False
        return isinstance(job, _Writes) or self._unsent_bytes < EXCHANGE_UNANSWERED_BYTES

    def _start(self) -> None:
        """Wake or start a task for each job, all in one turn of the loop: then their replies go together."""
        if not self._jobs:
            return
        wanted = min(len(self._jobs), EXCHANGE_HANDLED_AT_ONCE)
        wanted -= len(self._parked.unpark(count=wanted))
        for _ in range(min(wanted, EXCHANGE_HANDLED_AT_ONCE - self._workers)):
            self._workers += 1
            self._nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            while not self._startable():
                if len(self._parked) >= EXCHANGE_IDLE_TASKS_MAX:
                    self._workers -= 1
                    return
                await self._parked.park()
            await self._do(self._jobs.popleft())

    async def _do(self, job: _Read | _Writes) -> None:
        """Do one job. A task that parks afterwards holds none: there are many, and a job may be large."""
        self._handled_weight += job.weight
        if isinstance(job, _Read):
            await self._do_read(job)
        else:
            await self._do_writes(job)
        self._handled_weight -= job.weight

    async def _do_read(self, job: _Read) -> None:
        try:
            reply: _Reply = await self._handle_read(job.request)
        except Exception as error:  # noqa: BLE001 - becomes a refusal, logged where it is a defect
            reply = _refusal(error)
        self._answer(job.number, job.size, reply)

    async def _do_writes(self, job: _Writes) -> None:
        try:
            replies: Sequence[_Reply] = await self._handle_write(job.requests)
            _check_count(replies, job.requests)
        except Exception as error:  # noqa: BLE001 - becomes a refusal, logged where it is a defect
            replies = [_refusal(error)] * len(job.requests)
        for number, size, reply in zip(job.numbers, job.sizes, replies, strict=True):
            self._answer(number, size, reply)

    # Answering

    def _answer(self, number: int, request_bytes: int, reply: _Reply) -> None:
        size = reply_size(reply)
        if size > EXCHANGE_REQUEST_MAX_BYTES:
            text = f"a reply of {size} bytes is over {EXCHANGE_REQUEST_MAX_BYTES} bytes"
            reply = Refusal(Status.RESOURCE_EXHAUSTED.value, text)
            size = reply_size(reply)
        self._bytes += size - request_bytes
        self._memory.take(size)
        self._memory.give_back(request_bytes)
        self._unsent_bytes += size
        self._ready.append(_Ready(number, size, reply))
        self._sender.wake()

    async def _send(self) -> None:
        try:
            while True:
                while not self._ready:
                    await self._sender.sleep()
                batch, count, size = self._take_ready()
                await self._stream.send(batch)
                del batch
                self._unanswered -= count
                self._bytes -= size
                self._memory.give_back(size)
                self._unsent_bytes -= size
                assert min(self._unanswered, self._unsent_bytes, self._bytes) >= 0, self._bytes
                self._reader.wake()
                self._start()  # the requests that are done may have held up jobs
        except RpcError as error:
            self._fail(error)

    def _take_ready(self) -> tuple[ExchangeReply, int, int]:
        """As many replies as one message should have: the message, their count and their bytes."""
        batch = ExchangeReply()
        count = size = 0
        while self._ready and count < EXCHANGE_BATCH_REQUESTS:
            number, reply_bytes, reply = self._ready[0]
            if count and size + reply_bytes > EXCHANGE_BATCH_BYTES:
                break
            self._ready.popleft()
            count += 1
            size += reply_bytes
            try:
                add_reply(batch, number, reply)
            except WireError as fault:
                add_reply(batch, number, _internal(fault))
        mark = self._mark()
        if mark is not None:
            batch.boot, batch.commit = mark.boot, mark.commit
        return batch, count, size


def _read_request(message: ReplicaRequest) -> ReadRecords | WriteRecords:
    request = decode_request(message)
    if isinstance(request, WriteRecords):
        count, most = len(request.records), WRITE_MAX_RECORDS
    else:
        count, most = len(request.wanted), READ_MAX_RECORDS
    if count > most:
        raise WireError(f"ReplicaRequest: {count} records, expected {most} at most")
    return request


def _check_count(replies: Sequence[_Reply], requests: Sequence[WriteRecords]) -> None:
    if len(replies) != len(requests):
        raise AssertionError(f"{len(replies)} replies to {len(requests)} requests")


def _refusal(error: Exception) -> Refusal:
    """What the peer is told of an error."""
    try:
        _raise_as_status(first_error(error) or error)
    except RpcError as known:
        return Refusal(known.status.value, known.message)
    except Exception as defect:  # noqa: BLE001 - logged
        return _internal(defect)


def _raise_as_status(error: BaseException) -> NoReturn:
    with as_status():
        raise error


def _internal(defect: Exception) -> Refusal:
    """A defect of ours: its text goes to our log alone."""
    structlog.get_logger("gossipnode.replica").error("a replica's request failed", exc_info=defect)
    return Refusal(Status.INTERNAL.value, "internal error")
