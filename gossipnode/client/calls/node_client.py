"""One connection to one node, with a method for each call that the command line makes.

Every failure leaves this module as one of `gossipnode.client.errors`, never as a gRPC status or an exception
group. No call is tried again, because the user asked this one node.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
)

import trio

from gossipnode.client.calls.failures import named_error
from gossipnode.client.calls.requests import QueryOptions as QueryOptions
from gossipnode.client.calls.requests import (
    WatchOptions,
    apply_request,
    delete_request,
    explain_request,
    get_request,
    query_request,
    wait_request,
    watch_request,
)
from gossipnode.client.calls.tls_failures import OF_COMMANDS
from gossipnode.client.calls.watch_run import WATCH_SILENCE_SECONDS
from gossipnode.client.errors import FailedError, UnreachableError, sole_error
from gossipnode.client.transport.trio_transport import channel_to
from gossipnode.client.values.defaults import DEFAULT_TIMEOUT_SECONDS
from gossipnode.client.values.property_codec import decode_property
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tls_files import TlsFiles as TlsFiles
from gossipnode.client.values.tls_files import client_tls_of
from gossipnode.client.values.watched import Explanation, Waited, read_explanation, read_waited
from gossipnode.config.address import Address
from gossipnode.core.model.property import Entity
from gossipnode.rpc import Channel, ClientStream, Method, RpcError
from gossipnode.rpc.method import Reply, Request
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.gossipnode import v1 as messages

ANSWERS_TAKEN_AT_ONCE = 16
"""Answers of a stream that are taken in one wait, of those that have come."""


WAIT_ANSWER_SECONDS = 0.5
"""What of the timeout of a wait is kept for its answer to come."""


class NodeClient:
    """The calls of one node. Made by `connect_node`."""

    def __init__(self, channel: Channel, address: Address, timeout_seconds: float) -> None:
        self._channel = channel
        self.address = address
        self.timeout_seconds = timeout_seconds

    async def apply(
        self, record: StoredProperty, *, replace: bool = False, ack: str = ""
    ) -> tuple[StoredProperty, messages.ApplyResponse]:
        """Merge tags into the stored record, or put them in place of all its tags. Returns the new record."""
        request = apply_request(record, replace=replace, ack=ack)
        reply = await self._ask(services.NODE_APPLY, request)
        return decode_property(messages.Record(property=reply.property)), reply

    async def delete(self, entity: Entity, *, ack: str = "") -> messages.DeleteResponse:
        """Delete a record; `deleted` says whether a live one was there."""
        return await self._ask(services.NODE_DELETE, delete_request(entity, ack))

    async def get(self, entity: Entity, *, ack: str = "") -> StoredProperty | None:
        """The live record, or None."""
        reply = await self._ask(services.NODE_GET, get_request(entity, ack))
        return decode_property(reply.record) if reply.record.property else None

    async def status(self, group: str = "", *, shards_max: int = 0) -> messages.StatusResponse:
        """The node's view of itself, the members, its shards (of one group) and the last rounds.

        Instead of more than `shards_max` shards the answer has their sums by group. 0: it has every shard.
        """
        request = messages.StatusRequest(group=group, shards_max=shards_max)
        return await self._ask(services.NODE_STATUS, request)

    async def create_group(self, request: messages.CreateGroupRequest) -> messages.GroupResponse:
        """Define a group. Raises AlreadyExistsError if there is one of that name."""
        return await self._ask(services.NODE_CREATE_GROUP, request)

    async def alter_group(self, request: messages.AlterGroupRequest) -> messages.GroupResponse:
        """Change what may change of a group. What the request leaves out stays as it is."""
        return await self._ask(services.NODE_ALTER_GROUP, request)

    async def delete_group(self, name: str) -> messages.GroupResponse:
        """Remove a group and its records, on every member."""
        return await self._ask(services.NODE_DELETE_GROUP, messages.DeleteGroupRequest(name=name))

    async def list_groups(self, name: str = "") -> list[messages.Group]:
        """All groups, sorted by name; with `name`, that group alone."""
        return (await self._ask(services.NODE_LIST_GROUPS, messages.ListGroupsRequest(name=name))).groups

    async def forget_member(
        self, name: str, *, accept_loss: bool = False, force: bool = False
    ) -> messages.ForgetMemberResponse:
        """Remove a member for good. Its records move to the other members."""
        request = messages.ForgetMemberRequest(name=name, accept_loss=accept_loss, force=force)
        return await self._ask(services.NODE_FORGET_MEMBER, request)

    def snapshot(self, name: str) -> AbstractAsyncContextManager[AsyncIterator[messages.SnapshotEvent]]:
        """Take a snapshot of the node's store. Yields events that tell how far it is; the last has a path."""
        return self._answers(services.NODE_SNAPSHOT, messages.SnapshotRequest(name=name))

    @asynccontextmanager
    async def query(
        self, options: QueryOptions, *, on_trace: Callable[[common.Trace], None] | None = None
    ) -> AsyncGenerator[AsyncIterator[list[StoredProperty]]]:
        """The records that match, in order, a batch at a time. `on_trace` gets the trace of the search."""
        request = query_request(options)
        request.query.trace = on_trace is not None
        async with self._answers(services.NODE_QUERY, request) as batches:
            async with aclosing(_decoded(batches, on_trace)) as decoded:
                yield decoded

    @asynccontextmanager
    async def export(
        self, group: str, *, tombstones: bool = False, ack: str = ""
    ) -> AsyncGenerator[AsyncIterator[list[StoredProperty]]]:
        """Every record of a group in key order, a batch at a time."""
        request = messages.ExportRequest(group=group, tombstones=tombstones, ack=ack)
        async with self._answers(services.NODE_EXPORT, request) as batches:
            async with aclosing(_decoded(batches)) as decoded:
                yield decoded

    def tree(
        self, group: str, shard: int, *, leaves: bool = False, leaves_of: Sequence[int] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.TreeResponse]]:
        """The tree of a shard. The first answer has state, root and slots, the ones after it have leaves.

        With `leaves_of`, only the leaves of these slots.
        """
        request = messages.TreeRequest(group=group, shard=shard, leaves=leaves, leaves_of=list(leaves_of))
        return self._answers(services.NODE_TREE, request)

    def diff(
        self, group: str, shard: int, node: str
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.DiffResponse]]:
        """What differs between the node and another member in a shard. The first answer has the state."""
        request = messages.DiffRequest(group=group, shard=shard, node=node)
        return self._answers(services.NODE_DIFF, request)

    def repair(
        self, group: str, shard: int | None, *, wait: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.RoundEvent]]:
        """Start rounds of repair. With `wait`, yields their events as they come, without a timeout."""
        request = messages.RepairRequest(group=group, shard=shard, wait=wait)
        return self._answers(services.NODE_REPAIR, request, patient=wait)

    def watch(
        self, options: WatchOptions
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.WatchResponse]]:
        """The answers of a watch, as they come. A node that is silent for long is given up."""
        return self._answers(
            services.WATCH, watch_request(options, options.since), least=WATCH_SILENCE_SECONDS
        )

    async def wait_applied(self, entity: Entity, revision: int) -> Waited:
        """Wait until every replica has a record, for as long as the timeout."""
        seconds = max(0.0, self.timeout_seconds - WAIT_ANSWER_SECONDS)
        return read_waited(await self._ask(services.WAIT, wait_request(entity, revision, seconds)))

    async def explain(self, entity: Entity) -> Explanation:
        """What the replicas hold of a record, and which version wins."""
        return read_explanation(await self._ask(services.EXPLAIN, explain_request(entity)))

    @asynccontextmanager
    async def import_stream(self) -> AsyncGenerator[ImportStream]:
        """A call that takes batches and answers each of them, in order."""
        with self._naming_errors():
            async with self._channel.stream(services.NODE_IMPORT, timeout=None) as stream:
                yield ImportStream(stream, self._in_time)

    async def _ask(self, method: Method[Request, Reply], request: Request) -> Reply:
        with self._naming_errors():
            return await self._channel.unary(method, request, timeout=self.timeout_seconds)

    @asynccontextmanager
    async def _answers(
        self, method: Method[Request, Reply], request: Request, *, patient: bool = False, least: float = 0.0
    ) -> AsyncGenerator[AsyncIterator[Reply]]:
        """The answers to one request. Each wait for the next one has the timeout, unless `patient`.

        It has `least` seconds at any rate.
        """
        with self._naming_errors():
            async with self._channel.stream(method, timeout=None) as stream:
                with self._in_time():
                    await stream.send(request)
                    await stream.half_close()
                seconds = math.inf if patient else max(least, self.timeout_seconds)
                async with aclosing(self._received(stream, seconds)) as replies:
                    yield replies

    async def _received(self, stream: ClientStream[Request, Reply], seconds: float) -> AsyncGenerator[Reply]:
        # No cancel scope may stand open across a yield, so the timeout is around each wait alone.
        while True:
            with self._in_time(seconds):
                replies = await stream.recv_batch(ANSWERS_TAKEN_AT_ONCE)
            if not replies:
                return
            for reply in replies:
                yield reply

    @contextmanager
    def _in_time(self, seconds: float | None = None) -> Generator[None]:
        """Limit a wait that ends when the node does something."""
        limit = self.timeout_seconds if seconds is None else seconds
        with trio.move_on_after(limit) as scope:
            yield
        if scope.cancelled_caught:
            raise UnreachableError(
                f"{self.address} sent nothing for {limit:g} s; --timeout sets how long to wait"
            )

    @contextmanager
    def _naming_errors(self) -> Generator[None]:
        """Turn what a call raises into our own errors."""
        try:
            yield
        except RpcError as error:
            raise named_error(error, self.address, OF_COMMANDS) from None


class ImportStream:
    """One import call: sends batches, and takes the answer to each.

    If the call fails, `answer` and `finish` raise RpcError; `NodeClient.import_stream` makes that our own.
    """

    def __init__(
        self,
        stream: ClientStream[messages.ImportRequest, messages.ImportResponse],
        in_time: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._stream = stream
        self._in_time = in_time

    async def send(self, request: messages.ImportRequest) -> bool:
        """Send one batch; waits while the node has no room for it.

        False when the node has ended the call: the answers that are still there say why.
        """
        try:
            with self._in_time():
                await self._stream.send(request)
        except RpcError:
            return False
        return True

    async def answer(self) -> messages.ImportResponse:
        """Wait for the answer to the earliest batch that was not answered yet."""
        with self._in_time():
            answer = await self._stream.recv()
        if answer is None:
            raise FailedError("the node ended the import before it had answered every batch")
        return answer

    async def finish(self) -> None:
        """Say that no more batches come, and wait for the end of the call."""
        with self._in_time():
            await self._stream.finish()


async def _decoded(
    batches: AsyncIterator[messages.RecordBatch], on_trace: Callable[[common.Trace], None] | None = None
) -> AsyncGenerator[list[StoredProperty]]:
    async for batch in batches:
        yield [decode_property(record) for record in batch.records]
        if on_trace is not None and batch.trace.spans:
            on_trace(batch.trace)


@asynccontextmanager
async def connect_node(
    address: Address,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    tls: TlsFiles | None = None,
    server_name: str | None = None,
) -> AsyncGenerator[NodeClient]:
    """A client of the node at `address`. Nothing is dialled before the first call.

    Raises:
        ClientError: a call in the block failed. It comes by itself, not in the groups that nurseries raise.
    """
    secured = None if tls is None else client_tls_of(tls, server_name)
    try:
        async with channel_to(address, secured) as channel:
            yield NodeClient(channel, address, timeout_seconds)
    except BaseExceptionGroup as group:
        sole = sole_error(group)
        if sole is group:
            raise
        raise sole from None
