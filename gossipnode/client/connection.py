"""One connection to one node, and a method for each call that a node serves to its own command line.

Answers come back as plain values. Every failure is one of `gossipnode.client.errors`, named with the node's
address; no gRPC status and no exception group gets past this module.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from ssl import SSLContext, SSLError
from typing import Any, TypeAlias, TypeVar

import trio

from gossipnode.client.errors import (
    ClientError,
    FailedError,
    InvalidInputError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    UnreachableError,
    sole_error,
)
from gossipnode.client.property import Property
from gossipnode.core.criteria import Criteria
from gossipnode.core.limits import PROPERTY_MAX_BYTES
from gossipnode.core.property import Entity
from gossipnode.node.address import Address
from gossipnode.rpc import Channel, ClientStream, Method, RpcError, Status
from gossipnode.rpc.status import NO_METADATA
from gossipnode.rpc.tls import client_ssl_context, open_tls_stream
from gossipnode.wire import services
from gossipnode.wire.criteria import encode_criteria
from gossipnode.wire.errors import WireError
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property_edit import build_property, read_property

DEFAULT_TIMEOUT_SECONDS = 10.0

_CERTIFICATE_ALERT = re.compile(
    r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR|HANDSHAKE_FAILURE)"
)
"""What OpenSSL calls a server's refusal of a client's certificate, or of none."""

_STRATEGY_MERGE, _STRATEGY_REPLACE = 1, 2
_SORT_DESC, _SORT_ASC = 1, 2

Connect: TypeAlias = Callable[[], Awaitable[trio.abc.Stream]]
Request = TypeVar("Request")
Reply = TypeVar("Reply")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the CA to trust, and our own certificate with its key."""

    ca: Path
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What a query asks for. Empty means all; limit 0 is 100.

    With `after`, only what comes behind that record in the order of the query.
    """

    groups: Sequence[str]
    name: str = ""
    ids: Sequence[str] = ()
    where: Criteria | None = None
    select: Sequence[str] = ()
    order_by: str = ""
    descending: bool = False
    limit: int = 0
    after: Entity | None = None


class NodeClient:
    """The calls of one node. Made by `connect_node`."""

    def __init__(self, channel: Channel, address: Address, timeout_seconds: float) -> None:
        self._channel = channel
        self.address = address
        self.timeout_seconds = timeout_seconds

    async def apply(
        self, record: Property, *, replace: bool = False, ack: str = ""
    ) -> tuple[Property, messages.ApplyResponse]:
        """Write tags over those of the stored record, or in their place. Returns the stored record."""
        strategy = banyandb.ApplyRequestStrategy(_STRATEGY_REPLACE if replace else _STRATEGY_MERGE)
        payload = encode_property(record)
        if len(payload) > PROPERTY_MAX_BYTES:
            raise InvalidInputError(
                f"{record.entity.text}: the record has {len(payload):,} bytes, over {PROPERTY_MAX_BYTES:,}"
            )
        request = messages.ApplyRequest(property=payload, strategy=strategy, ack=ack)
        reply = await self._ask(services.NODE_APPLY, request)
        return decode_property(messages.Record(property=reply.property)), reply

    async def delete(self, entity: Entity, *, ack: str = "") -> messages.DeleteResponse:
        """Delete a record; `deleted` says whether a live one was there."""
        group, name, id_ = entity
        request = messages.DeleteRequest(group=group, name=name, id=id_, ack=ack)
        return await self._ask(services.NODE_DELETE, request)

    async def get(self, entity: Entity, *, ack: str = "") -> Property | None:
        """The live record, or None."""
        group, name, id_ = entity
        request = messages.GetRequest(group=group, name=name, id=id_, ack=ack)
        reply = await self._ask(services.NODE_GET, request)
        return decode_property(reply.record) if reply.record.property else None

    async def status(self) -> messages.StatusResponse:
        """The node's view of itself, the members, its shards and the last rounds."""
        return await self._ask(services.NODE_STATUS, messages.StatusRequest())

    @asynccontextmanager
    async def query(self, options: QueryOptions) -> AsyncGenerator[AsyncIterator[list[Property]]]:
        """The records that match, in order, a batch at a time."""
        request = banyandb.QueryRequest(
            groups=list(options.groups),
            name=options.name,
            ids=list(options.ids),
            tag_projection=list(options.select),
            limit=options.limit,
        )
        if options.where is not None:
            request.criteria = encode_criteria(options.where)
        if options.order_by:
            sort = model.Sort(_SORT_DESC if options.descending else _SORT_ASC)
            request.order_by = model.QueryOrder(tag_name=options.order_by, sort=sort)
        after = options.after.text if options.after is not None else ""
        asked = messages.QueryRequest(query=request, after=after)
        async with self._answers(services.NODE_QUERY, asked) as batches:
            async with aclosing(_decoded(batches)) as decoded:
                yield decoded

    @asynccontextmanager
    async def export(
        self, group: str, *, tombstones: bool = False
    ) -> AsyncGenerator[AsyncIterator[list[Property]]]:
        """Every record of a group in key order, a batch at a time."""
        request = messages.ExportRequest(group=group, tombstones=tombstones)
        async with self._answers(services.NODE_EXPORT, request) as batches:
            async with aclosing(_decoded(batches)) as decoded:
                yield decoded

    def tree(
        self, group: str, shard: int, *, leaves: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.TreeResponse]]:
        """The tree of a shard: state, root and slots in the first answer, leaves in the ones that follow."""
        request = messages.TreeRequest(group=group, shard=shard, leaves=leaves)
        return self._answers(services.NODE_TREE, request)

    def repair(
        self, group: str, shard: int | None, *, wait: bool
    ) -> AbstractAsyncContextManager[AsyncIterator[messages.RoundEvent]]:
        """Start rounds. With `wait`, their events as they come, however long that takes."""
        request = messages.RepairRequest(group=group, shard=shard, wait=wait)
        return self._answers(services.NODE_REPAIR, request, patient=wait)

    @asynccontextmanager
    async def import_stream(self) -> AsyncGenerator[ImportStream]:
        """A call that takes batches and answers each of them, in order."""
        with self._naming_errors():
            async with self._channel.stream(services.NODE_IMPORT, timeout=None) as stream:
                yield ImportStream(stream, self._in_time)

    async def _ask(self, method: Method[Request, Reply], request: Request) -> Reply:
        try:
            return await self._channel.unary(method, request, timeout=self.timeout_seconds)
        except RpcError as error:
            raise _named(error, self.address) from None

    @asynccontextmanager
    async def _answers(
        self, method: Method[Request, Reply], request: Request, *, patient: bool = False
    ) -> AsyncGenerator[AsyncIterator[Reply]]:
        """The answers to one request; the timeout runs while none arrives, unless we are `patient`."""
        with self._naming_errors():
            async with self._channel.stream(method, timeout=None) as stream:
                await self._in_time(_send_last, stream, request)
                async with aclosing(self._received(stream, patient)) as replies:
                    yield replies

    async def _received(self, stream: ClientStream[Request, Reply], patient: bool) -> AsyncGenerator[Reply]:
        # No cancel scope may stand open across a yield, so the timeout is around each wait alone.
        while True:
            if patient:
                replies = await stream.recv_batch(16)
            else:
                replies = await self._in_time(stream.recv_batch, 16)
            if not replies:
                return
            for reply in replies:
                yield reply

    async def _in_time(self, wait: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
        """Await something that ends when the node does something."""
        with trio.move_on_after(self.timeout_seconds):
            return await wait(*arguments)
        raise UnreachableError(
            f"{self.address} sent nothing for {self.timeout_seconds:g} s; --timeout sets how long to wait"
        )

    @contextmanager
    def _naming_errors(self) -> Generator[None]:
        """Turn what a call raises into our own errors."""
        try:
            yield
        except RpcError as error:
            raise _named(error, self.address) from None


class ImportStream:
    """Batches out, answers in. Errors are those of the call, turned into our own where the call ends."""

    def __init__(
        self,
        stream: ClientStream[messages.ImportRequest, messages.ImportResponse],
        in_time: Callable[..., Awaitable[Any]],
    ) -> None:
        self._stream = stream
        self._in_time = in_time

    async def send(self, request: messages.ImportRequest) -> bool:
        """Send one batch; waits while the node has no room for it.

        False when the node has ended the call: the answers that are still there say why.
        """
        try:
            await self._in_time(self._stream.send, request)
        except RpcError:
            return False
        return True

    async def answer(self) -> messages.ImportResponse:
        """The answer to the first batch that has none yet."""
        answer: messages.ImportResponse | None = await self._in_time(self._stream.recv)
        if answer is None:
            raise FailedError("the node ended the import before it had answered every batch")
        return answer

    async def finish(self) -> None:
        """Say that no more batches come, and wait for the end of the call."""
        await self._in_time(self._stream.finish)


async def _send_last(stream: ClientStream[Request, Reply], request: Request) -> None:
    await stream.send(request)
    await stream.half_close()


async def _decoded(batches: AsyncIterator[messages.RecordBatch]) -> AsyncGenerator[list[Property]]:
    async for batch in batches:
        yield [decode_property(record) for record in batch.records]


def encode_property(record: Property) -> bytes:
    """The encoded form of a record, stamps included.

    Raises:
        InvalidInputError: it cannot be encoded.
    """
    try:
        return build_property(
            record.entity,
            record.tags,
            create_revision=record.create_revision,
            mod_revision=record.mod_revision,
            updated_at=record.updated_at,
            metadata_id=record.metadata_id,
        )
    except WireError as error:
        raise InvalidInputError(str(error)) from None


def decode_property(record: messages.Record) -> Property:
    """The record of an answer.

    Raises:
        FailedError: what the node sent is no property.
    """
    try:
        view = read_property(record.property)
    except WireError as error:
        raise FailedError(f"the node sent what is no property: {error}") from None
    return Property(
        entity=view.entity,
        tags=view.tags,
        create_revision=view.create_revision,
        mod_revision=view.mod_revision,
        updated_at=view.updated_at,
        delete_time=record.delete_time,
        metadata_id=view.metadata_id,
    )


@asynccontextmanager
async def connect_node(
    address: Address, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS, tls: TlsFiles | None = None
) -> AsyncGenerator[NodeClient]:
    """A client of the node at `address`. Nothing is dialed before the first call.

    Raises:
        ClientError: whatever a call meets, without the groups that nurseries put round it.
    """
    connect, scheme = _connector(address, tls)
    try:
        async with Channel(connect, authority=str(address), scheme=scheme) as channel:
            yield NodeClient(channel, address, timeout_seconds)
    except BaseExceptionGroup as group:
        sole = sole_error(group)
        if sole is group:
            raise
        raise sole from None


def _connector(address: Address, tls: TlsFiles | None) -> tuple[Connect, str]:
    if tls is None:
        return partial(trio.open_tcp_stream, address.host, address.port), "http"
    context = _tls_context(tls)
    return partial(open_tls_stream, address.host, address.port, context), "https"


def _tls_context(tls: TlsFiles) -> SSLContext:
    for option, path in (("--ca", tls.ca), ("--cert", tls.cert), ("--key", tls.key)):
        if path is not None and not path.is_file():
            raise InvalidInputError(f"{option}: no such file: {path}")
    try:
        return client_ssl_context(tls.ca, tls.cert, tls.key)
    except (OSError, SSLError) as error:
        files = ", ".join(str(path) for path in (tls.ca, tls.cert, tls.key) if path is not None)
        raise InvalidInputError(f"{files}: not usable as PEM certificates: {error}") from None


def _named(error: RpcError, address: Address) -> ClientError:
    """The error that a user sees for a status."""
    status, said = error.status, " ".join(error.message.split())
    if status is Status.UNAVAILABLE:
        if error.never_processed:
            reason = said.partition("cannot be reached: ")[2] or said
            reason = re.sub(r"^\[Errno -?\d+\] ", "", reason)
            return NoNodeError(f"no node answers at {address}: {reason}")
        alert = _CERTIFICATE_ALERT.search(said)
        if alert is not None:
            problem = alert[1].lower().replace("_", " ")
            return RefusedError(
                f"{address} refuses our certificate ({problem}): give --cert and --key of its CA"
            )
        if error.trailing_metadata is NO_METADATA:
            # No status came from the other side: what failed is the connection itself.
            return UnreachableError(f"{address} ended the call: {said}; is a gossipnode node running there?")
        return UnreachableError(f"{address}: {said}")
    if status in (Status.DEADLINE_EXCEEDED, Status.CANCELLED):
        return UnreachableError(f"{address}: {said or status.name}")
    if status is Status.NOT_FOUND:
        return NotFoundError(said)
    if status in (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED):
        return RefusedError(f"{address} refuses: {said or status.name}")
    if status in (Status.INVALID_ARGUMENT, Status.OUT_OF_RANGE):
        return InvalidRequestError(said)
    if status is Status.UNIMPLEMENTED:
        return UnreachableError(f"{address} does not know this call: is it a gossipnode node?")
    return FailedError(f"{address}: {said or status.name}")
