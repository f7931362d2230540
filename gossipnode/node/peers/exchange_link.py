"""The asking end between two nodes: requests of many clients, in batches on one long stream to one peer.

No batch waits to be filled: requests that come while one is being sent go with the next. Every request ends
by its timeout, whatever the peer does, and no request is ever sent twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import structlog
import trio

from gossipnode.concurrency.shares import Caller
from gossipnode.concurrency.waker import Waker
from gossipnode.core.query.replica_messages import RecordsRead, RecordsWritten, Refusal, ReplicaRequest
from gossipnode.rpc import Channel, ClientStream, RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1.replica_pb2 import (
    ExchangeReply,
    ExchangeRequest,
    ReplicaReply,
)
from gossipnode.wire.replica.replica_codec import add_request, decode_reply, request_size
from gossipnode.wire.services import REPLICA_EXCHANGE
from gossipnode.wire.wire_errors import WireError

REPLICA_SECONDS = 2.0
"""How long a coordinator waits for one replica. One that lets this pass is avoided until it answers."""

EXCHANGE_BATCH_REQUESTS = 128
EXCHANGE_BATCH_BYTES = 256 << 10
"""Requests, or replies, in one message between coordinator and replica. It is read in a few milliseconds.

A request or reply that is larger by itself goes alone.
"""

EXCHANGE_REQUEST_MAX_BYTES = 3 << 20
"""The size of one request or one reply, well below the limit of a gRPC message."""

EXCHANGE_UNDER_WAY_MAX = 4096
EXCHANGE_UNDER_WAY_BYTES = 16 << 20
"""Requests that one peer has still to answer. More of them wait for room, until their timeouts."""

EXCHANGE_WAITING_MAX = 4096
EXCHANGE_WAITING_BYTES = 64 << 20
"""Requests to one peer that wait for room; one more is refused at once."""

EXCHANGE_FOREIGN_SECONDS = 10.0
"""How long a peer that does not know our requests is not asked again."""

EXCHANGE_REDIAL_SECONDS = 0.1
"""How long a peer that cannot be reached is not asked again, so that many requests share one dial."""

Answer: TypeAlias = RecordsRead | RecordsWritten
TakeAnswer: TypeAlias = Callable[[Answer | RpcError], None]
"""Is called once, with the result of a request. It must neither wait nor raise."""

_ExchangeStream: TypeAlias = ClientStream[ExchangeRequest, ExchangeReply]


class RefusedByPeerError(RpcError):
    """The peer refused a request and did nothing of it. With `other_view`, it sees other members than we."""

    def __init__(self, refusal: Refusal) -> None:
        """Take over the status and the text of a refusal."""
        super().__init__(_status(refusal.status), refusal.message, never_processed=True)
        self.other_view = refusal.other_view
        self.clock = refusal.clock


class CrowdedOutError(RpcError):
    """A request was let in late, and its time was over before the answer. That says nothing of the peer."""


class Asked:
    """One request under way."""

    __slots__ = ("deadline", "number", "request", "size", "timeout", "told", "waited")

    def __init__(self, number: int, request: ReplicaRequest, told: TakeAnswer, timeout: float) -> None:
        """`told` is called with the result, after `timeout` seconds at the latest."""
        self.number = number
        self.request = request
        self.told = told
        self.timeout = timeout
        self.deadline = trio.current_time() + timeout
        self.size = request_size(request)
        self.waited = False
        """Whether it had to wait for room, so that the peer had less than the whole time for it."""


class ExchangeLink:
    """The requests to one peer. They are refused while `run` does not run."""

    def __init__(
        self, channel: Channel, metadata: Mapping[str, str], committed: Callable[[int, int], None]
    ) -> None:
        """Ask over `channel`. `metadata` goes with the stream: it says which cluster and node we are.

        `committed` is told the start and the last commit of the peer's store, before the answers are.
        """
        self._channel = channel
        self._metadata = dict(metadata)
        self._committed = committed
        self._running = False
        self._last_number = 0
        # By number, in the order in which they were asked. A queued request is under way, too.
        self._under_way: dict[int, Asked] = {}
        self._queued: dict[int, Asked] = {}
        self._memory = channel.memory.account("requests", Caller(channel.authority, member=True))
        self._bytes = 0
        # Those that wait for room, first come first served: small ones do not overtake a large one for ever.
        self._waiting: dict[int, Asked] = {}
        self._waiting_bytes = 0
        self._sender = Waker()
        # One timer for all: a cancel scope for each request would cost as much as the rest of the request.
        self._timer = trio.CancelScope()
        self._failure: RpcError | None = None
        self._asks_again_at = -math.inf
        self._log = structlog.get_logger("gossipnode.replica")

    # Asking

    async def ask(self, request: ReplicaRequest, *, timeout: float) -> Answer:  # noqa: ASYNC109 - one timer for all
        """Ask, and wait for the answer. If cancelled, the peer may carry the request out all the same.

        Raises:
            RefusedByPeerError: the peer refused the request.
            RpcError: DEADLINE_EXCEEDED after `timeout` seconds, UNAVAILABLE where the peer cannot be reached
                or was lost, UNIMPLEMENTED by a foreign peer, RESOURCE_EXHAUSTED at once when too much is
                under way or the request is too large, INTERNAL for an answer that makes no sense.
                `never_processed` is true where the peer has certainly not seen the request.
        """
        answers: list[Answer | RpcError] = []
        waker = Waker()

        def told(answer: Answer | RpcError) -> None:
            answers.append(answer)
            waker.wake()

        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            asked = self.start(request, told, timeout=timeout)
        except RpcError:
            await trio.lowlevel.checkpoint()
            raise
        try:
            while not answers:
                await waker.sleep()
        finally:
            self.forget(asked)
        answer = answers[0]
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def start(self, request: ReplicaRequest, told: TakeAnswer, *, timeout: float) -> Asked:
        """Ask without waiting: `told` is called later, exactly once, with what `ask` would return or raise.

        Raises:
            RpcError: as `ask`, where that is known at once; `told` is not called then.
        """
        self._check_reachable()
        self._last_number += 1
        asked = Asked(self._last_number, request, told, timeout)
        if asked.size > EXCHANGE_REQUEST_MAX_BYTES:
            raise _unsent(
                Status.RESOURCE_EXHAUSTED,
                f"a request of {asked.size} bytes to a replica is over {EXCHANGE_REQUEST_MAX_BYTES} bytes",
            )
        if not self._waiting and self._has_room_for(asked):
            self._let_in(asked)
        elif (
            len(self._waiting) < EXCHANGE_WAITING_MAX
            and self._waiting_bytes + asked.size <= EXCHANGE_WAITING_BYTES
            and self._memory.fits(asked.size)
        ):
            self._waiting[asked.number] = asked
            asked.waited = True
            self._waiting_bytes += asked.size
        else:
            raise _unsent(
                Status.RESOURCE_EXHAUSTED,
                f"{self._channel.authority} has {len(self._under_way)} requests still to answer, and "
                f"{len(self._waiting)} wait for room",
            )
        self._memory.take(asked.size)
        if asked.deadline < self._timer.deadline:
            self._timer.deadline = asked.deadline
        return asked

    def _has_room_for(self, asked: Asked) -> bool:
        return (
            len(self._under_way) < EXCHANGE_UNDER_WAY_MAX
            and self._bytes + asked.size <= EXCHANGE_UNDER_WAY_BYTES
        )

    def _let_in(self, asked: Asked) -> None:
        self._under_way[asked.number] = self._queued[asked.number] = asked
        self._bytes += asked.size
        self._sender.wake()

    def _let_in_those_that_fit(self) -> None:
        while self._waiting:
            first = next(iter(self._waiting.values()))
            if not self._has_room_for(first):
                return
            self._leave_waiting(first)
            self._let_in(first)

    def _leave_waiting(self, asked: Asked) -> bool:
        if self._waiting.pop(asked.number, None) is None:
            return False
        self._waiting_bytes -= asked.size
        return True

    def forget(self, asked: Asked) -> None:
        """Give an answer up: `told` will not be called any more. Harmless after the answer."""
        if self._under_way.pop(asked.number, None) is not None:
            self._queued.pop(asked.number, None)
            self._bytes -= asked.size
            assert self._bytes >= 0 if self._under_way else self._bytes == 0, self._bytes
        elif not self._leave_waiting(asked):
            return
        self._memory.give_back(asked.size)
        self._let_in_those_that_fit()

    def try_again(self) -> None:
        """The peer has answered elsewhere, so ask it again at once, whatever failed before."""
        self._failure = None

    def _check_reachable(self) -> None:
        if not self._running:
            raise _unsent(Status.UNAVAILABLE, f"the link to {self._channel.authority} is closed")
        if self._failure is not None and trio.current_time() < self._asks_again_at:
            raise _unsent(self._failure.status, self._failure.message)

    # The life of the link

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send requests and hand out answers, until cancelled. The first request opens a stream."""
        self._running = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire)
                task_status.started()
                while True:
                    await self._wait_queued()
                    await self._exchange()
        finally:
            self._running = False
            self._fail_all(RpcError(Status.UNAVAILABLE, f"the link to {self._channel.authority} was closed"))
            assert not any((self._under_way, self._queued, self._bytes)), self._bytes

    async def _expire(self) -> None:
        """End the requests whose time is over. It wakes about once a timeout, and not for every request."""
        while True:
            with self._timer:
                await trio.sleep_forever()
            now = trio.current_time()
            # Those that wait come first: the end of another request would let them in, too late.
            for asked in [asked for asked in self._waiting.values() if asked.deadline <= now]:
                # Our own end has kept it: that says nothing of the peer.
                text = f"no room for it within {asked.timeout:g} s"
                self._end(asked, _unsent(Status.RESOURCE_EXHAUSTED, text))
            for asked in [asked for asked in self._under_way.values() if asked.deadline <= now]:
                text, unsent = f"no answer within {asked.timeout:g} s", asked.number in self._queued
                kind = CrowdedOutError if asked.waited else RpcError
                self._end(asked, kind(Status.DEADLINE_EXCEEDED, text, never_processed=unsent))
            deadlines = [asked.deadline for asked in (*self._under_way.values(), *self._waiting.values())]
            self._timer = trio.CancelScope(deadline=min(deadlines, default=math.inf))

    async def _exchange(self) -> None:
        """One stream, from the first request to its end."""
        conversation = _Conversation()
        try:
            async with self._channel.stream(
                REPLICA_EXCHANGE, timeout=None, metadata=self._metadata, dial_now=True
            ) as stream:
                async with trio.open_nursery() as nursery:
                    conversation.scope = nursery.cancel_scope
                    nursery.start_soon(self._send, stream, conversation)
                    await self._receive(stream, conversation)
        except RpcError as error:
            self._broken(error, conversation)

    async def _send(self, stream: _ExchangeStream, conversation: _Conversation) -> None:
        try:
            while True:
                await self._wait_queued()
                if conversation.over:
                    return  # the next stream sends what is queued now
                await stream.send(self._take_batch())
        except RpcError as error:
            self._broken(error, conversation)

    async def _receive(self, stream: _ExchangeStream, conversation: _Conversation) -> None:
        end = RpcError(Status.UNAVAILABLE, f"{self._channel.authority} ended the exchange")
        try:
            while (batch := await stream.recv()) is not None:
                conversation.answered = True
                self._hand_out(batch)
                del batch  # or it would stay until the next one comes
        except RpcError as error:
            end = error
        self._broken(end, conversation)

    def _hand_out(self, batch: ExchangeReply) -> None:
        if batch.boot:
            self._committed(batch.boot, batch.commit)
        for reply in batch.replies:
            asked = self._under_way.get(reply.id)
            if asked is not None:  # the answer may come too late
                self._end(asked, _answer(reply, asked.request))

    async def _wait_queued(self) -> None:
        while not self._queued:
            await self._sender.sleep()

    def _take_batch(self) -> ExchangeRequest:
        """Take as many of the queued requests as one message should have."""
        taken: list[Asked] = []
        size = 0
        for asked in self._queued.values():
            size += asked.size
            if taken and (size > EXCHANGE_BATCH_BYTES or len(taken) == EXCHANGE_BATCH_REQUESTS):
                break
            taken.append(asked)
        batch = ExchangeRequest()
        for asked in taken:
            if self._queued.pop(asked.number, None) is None:
                continue  # forgotten by a `told` that has just learnt that another request cannot be sent
            assert asked.number in self._under_way, asked.number
            try:
                add_request(batch, asked.number, asked.request)
            except WireError as fault:
                self._end(asked, _unsent(Status.INVALID_ARGUMENT, str(fault)))
        return batch

    # Ends

    def _broken(self, error: RpcError, conversation: _Conversation) -> None:
        """The stream has ended or could not be opened. Every request under way fails with it."""
        if conversation.over:
            return
        conversation.over = True
        conversation.scope.cancel()
        status = Status.UNAVAILABLE if error.status is Status.CANCELLED else error.status
        failure = RpcError(status, error.message, never_processed=error.never_processed)
        if not conversation.answered:
            foreign = status is Status.UNIMPLEMENTED
            pause = EXCHANGE_FOREIGN_SECONDS if foreign else EXCHANGE_REDIAL_SECONDS
            self._failure, self._asks_again_at = failure, trio.current_time() + pause
        self._fail_all(failure)

    def _fail_all(self, error: RpcError) -> None:
        for asked in [*self._under_way.values(), *self._waiting.values()]:
            unseen = error.never_processed or asked.number in self._queued or asked.number in self._waiting
            self._end(asked, RpcError(error.status, error.message, never_processed=unseen))

    def _end(self, asked: Asked, answer: Answer | RpcError) -> None:
        if asked.number not in self._under_way and asked.number not in self._waiting:
            return  # forgotten by a `told` that has just learnt of another request
        self.forget(asked)
        try:
            asked.told(answer)
        except Exception:  # noqa: BLE001 - a defect of one caller must not cost other callers their answers
            self._log.exception("an answer was not taken", peer=self._channel.authority)


class _Conversation:
    """What is known of one stream."""

    __slots__ = ("answered", "over", "scope")

    def __init__(self) -> None:
        self.answered = False
        self.over = False
        self.scope = trio.CancelScope()


def _answer(reply: ReplicaReply, request: ReplicaRequest) -> Answer | RpcError:
    try:
        answer = decode_reply(reply, request)
    except ValueError as fault:
        return RpcError(Status.INTERNAL, f"the replica's answer makes no sense: {fault}")
    return RefusedByPeerError(answer) if isinstance(answer, Refusal) else answer


def _status(number: int) -> Status:
    try:
        return Status(number)
    except ValueError:
        return Status.UNKNOWN


def _unsent(status: Status, message: str) -> RpcError:
    return RpcError(status, message, never_processed=True)
