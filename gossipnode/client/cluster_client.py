"""`connect`, and the client that it gives: a method for each thing that applications ask of a cluster."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import anyio

from gossipnode.client.calls.change_calls import ChangeCalls
from gossipnode.client.calls.pool import Pool, PoolNode
from gossipnode.client.calls.query_run import Item, QueryRun, Records
from gossipnode.client.calls.requests import QueryOptions, apply_request, delete_request, get_request
from gossipnode.client.calls.retry_rules import CallKind
from gossipnode.client.calls.streamed import READ_AHEAD_BATCHES, Begun
from gossipnode.client.errors import NotFoundError
from gossipnode.client.transport.transport_choice import tasks_opener, transport_opener
from gossipnode.client.transport.transport_protocol import OpenTransport, Tasks
from gossipnode.client.values import given
from gossipnode.client.values.defaults import DEFAULT_LIMIT_RECORDS, DEFAULT_TIMEOUT_SECONDS
from gossipnode.client.values.given import Ack
from gossipnode.client.values.results import (
    Applied,
    Group,
    GroupChange,
    Member,
    MemberChange,
    Property,
    read_group,
    read_group_change,
    read_members,
    read_property,
)
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tags import GivenTag, given_tags
from gossipnode.client.values.tls_files import TlsFiles
from gossipnode.config.address import Address
from gossipnode.core.query.criteria import Criteria
from gossipnode.rpc import Method
from gossipnode.rpc.method import Reply, Request
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages

_REQUEST_ID_BITS = 128


class Client(ChangeCalls):
    """A client of a cluster, made by `connect`. Any number of tasks may use it at once.

    `ack` says how many replicas must take part: "local" (the node asked alone), "one", "quorum" or "all";
    None means the group's own level. Of the library's errors, methods raise ClientError and its subclasses.
    """

    def __init__(self, pool: Pool, tasks: Tasks, ids: random.Random) -> None:
        """Ask the nodes of `pool`; queries run in `tasks`. Numbers from `ids` tell writes apart."""
        super().__init__(pool, tasks)
        self._ids = ids

    # Records

    async def apply(
        self,
        group: str,
        name: str,
        id: str,  # noqa: A002 - what a record's id is called everywhere
        tags: Mapping[str, GivenTag],
        replace: bool = False,
        ack: Ack | None = None,
    ) -> Applied:
        """Merge tags into the stored record, or with `replace` put them in place of all its tags.

        A write that ends in UnreachableError may have happened, unless the error is a NoNodeError. A write
        that the client itself tries again is still one write.

        Raises:
            InvalidInputError: a key, a tag or the whole record is wrong in itself.
        """
        record = StoredProperty(given.entity(group, name, id), given_tags(tags))
        request = apply_request(record, replace=replace, ack=given.ack(ack), request_id=self._new_id())
        reply = await self._call(services.NODE_APPLY, request, CallKind.WRITE)
        written = read_property(messages.Record(property=reply.property))
        return Applied(reply.created, written, reply.acknowledged, reply.replicas)

    async def get(
        self,
        group: str,
        name: str,
        id: str,  # noqa: A002
        ack: Ack | None = None,
    ) -> Property | None:
        """The record, or None if it does not exist."""
        entity = given.entity(group, name, id)
        reply = await self._call(services.NODE_GET, get_request(entity, given.ack(ack)), CallKind.READ)
        return read_property(reply.record) if reply.record.property else None

    async def delete(
        self,
        group: str,
        name: str,
        id: str,  # noqa: A002
        ack: Ack | None = None,
    ) -> bool:
        """Delete the record, and return whether there was one. Errors mean what they mean for `apply`."""
        entity = given.entity(group, name, id)
        request = delete_request(entity, given.ack(ack), request_id=self._new_id())
        return (await self._call(services.NODE_DELETE, request, CallKind.WRITE)).deleted

    def query(
        self,
        *groups: str,
        name: str = "",
        ids: Sequence[str] = (),
        where: str | Criteria | None = None,
        select: Sequence[str] = (),
        order_by: str = "",
        descending: bool = False,
        limit: int | None = DEFAULT_LIMIT_RECORDS,
        after: Property | str | None = None,
        ack: Ack | None = None,
    ) -> Records:
        """The records that match, to be iterated over: `async for record in client.query("group")`.

        `where` is an expression (for its grammar see `core.query.expression.GRAMMAR`) or criteria.
        `select` names the tags that are wanted; if empty, all are. Without `order_by`, records come in the
        order of group, name and id; with it, in the order of that tag, and records without the tag come last.
        At most `limit` records come; with None, all. `after` is a record or its GROUP/NAME/ID: only records
        after it come.

        If a node is lost, the query goes on at another one after the last record. No record comes twice,
        unless it moved in the order meanwhile. The client's timeout runs while nothing arrives.

        Raises:
            InvalidInputError: an argument is wrong. Raised by the call itself, not by the iteration.
        """
        options = QueryOptions(
            groups=given.groups(groups),
            name=given.text("name", name),
            ids=given.texts("ids", ids),
            where=given.criteria(where),
            select=given.texts("select", select),
            order_by=given.text("order_by", order_by),
            descending=descending,
            after=given.place(after, groups),
            ack=given.ack(ack),
        )
        return Records(partial(self._begin_query, options, given.limit(limit)))

    def _begin_query(self, options: QueryOptions, limit: int | None) -> Begun[Property]:
        self._pool.check_open()
        items_in, items_out = anyio.create_memory_object_stream[Item](READ_AHEAD_BATCHES)
        begun = Begun(items_out, anyio.CancelScope())
        self._tasks.start_soon(QueryRun(self._pool, options, limit).run, items_in, begun.scope)
        return begun

    # The cluster

    async def groups(self) -> list[Group]:
        """All groups, by name."""
        reply = await self._call(services.NODE_LIST_GROUPS, messages.ListGroupsRequest(), CallKind.READ)
        return [read_group(group) for group in reply.groups]

    async def group(self, name: str) -> Group | None:
        """One group, or None if no group has this name."""
        request = messages.ListGroupsRequest(name=given.name(name))
        try:
            reply = await self._call(services.NODE_LIST_GROUPS, request, CallKind.READ)
        except NotFoundError:
            return None
        return read_group(reply.groups[0]) if reply.groups else None

    async def create_group(
        self,
        name: str,
        shards: int = 1,
        replicas: int = 3,
        ack: Ack | None = None,
        tombstone_retention: timedelta | None = None,
        indexes: Sequence[str] = (),
        *,
        force: bool = False,
    ) -> GroupChange:
        """Create a group. Its number of shards can never change; all else can be altered.

        A group that wants more replicas than there are members is refused without `force`: quorums are
        counted by the replicas wanted.

        Raises:
            AlreadyExistsError: there is a group of this name.
            FailedError: there are fewer members than replicas.
        """
        request = messages.CreateGroupRequest(
            name=given.name(name),
            shards=given.count("shards", shards),
            replicas=given.count("replicas", replicas),
            ack=given.ack(ack),
            tombstone_retention_seconds=given.seconds(tombstone_retention) or 0,
            indexes=given.texts("indexes", indexes),
            force=force,
        )
        return read_group_change(await self._call(services.NODE_CREATE_GROUP, request, CallKind.ONCE))

    async def alter_group(
        self,
        name: str,
        ack: Ack | None = None,
        tombstone_retention: timedelta | None = None,
        indexes: Sequence[str] | None = None,
        *,
        replicas: int | None = None,
        force: bool = False,
    ) -> GroupChange:
        """Change what is given. `indexes` takes the place of the group's whole list of indexed tags.

        With another number of `replicas` the records move, while reads and writes go on. More replicas than
        there are members are refused without `force`.

        Raises:
            NotFoundError: there is no such group.
        """
        request = messages.AlterGroupRequest(
            name=given.name(name),
            ack=given.ack(ack) or None,
            tombstone_retention_seconds=given.seconds(tombstone_retention),
            replicas=None if replicas is None else given.count("replicas", replicas),
            force=force,
        )
        if indexes is not None:
            request.indexes = messages.AlterGroupRequestTagList(tags=given.texts("indexes", indexes))
        return read_group_change(await self._call(services.NODE_ALTER_GROUP, request, CallKind.ONCE))

    async def delete_group(self, name: str) -> GroupChange:
        """Delete a group and all its records, everywhere.

        Raises:
            NotFoundError: there is no such group.
        """
        request = messages.DeleteGroupRequest(name=given.name(name))
        return read_group_change(await self._call(services.NODE_DELETE_GROUP, request, CallKind.ONCE))

    async def members(self) -> list[Member]:
        """The members of the cluster, as the node that is asked sees them now."""
        return read_members(await self._call(services.NODE_STATUS, messages.StatusRequest(), CallKind.READ))

    async def forget_member(
        self, name: str, *, accept_loss: bool = False, force: bool = False
    ) -> MemberChange:
        """Remove a member for good. Its share of the records moves to the other members.

        One that answers leaves: it stays a source until everything is handed over. One that does not is
        dropped at once, unless acknowledged writes could be lost by it (`accept_loss`), or too few members
        would be left for a group's quorum (`force`).

        Raises:
            NotFoundError: there is no such member.
        """
        request = messages.ForgetMemberRequest(
            name=given.name(name),
            accept_loss=accept_loss,
            force=force,
        )
        reply = await self._call(services.NODE_FORGET_MEMBER, request, CallKind.ONCE)
        return MemberChange(reply.acknowledged, reply.members, reply.epoch, reply.leaving)

    def _new_id(self) -> str:
        return f"{self._ids.getrandbits(_REQUEST_ID_BITS):032x}"

    async def _call(self, method: Method[Request, Reply], request: Request, kind: CallKind) -> Reply:
        return await self._pool.call(method, request, kind)


@asynccontextmanager
async def connect(
    *addresses: str,
    tls: TlsFiles | None = None,
    server_name: str | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,  # noqa: ASYNC109 - of each call, not of the block
) -> AsyncGenerator[Client]:
    """A client of the cluster whose nodes, or some of them, are at `addresses` (HOST:PORT), for the block.

    One node is asked as long as it answers, then the others in the order given. Nothing is dialled before the
    first call. `timeout` is how many seconds a call may take over all its tries. With `tls`, each node's
    certificate must hold the host of its address, or `server_name` if that is given.

    Under asyncio the block may be left in another task than the one that entered it, as fixtures of
    pytest-asyncio do. Under Trio it may not: there the client has a nursery.

    Raises:
        InvalidInputError: an address, a file of `tls`, the name or the timeout is wrong.
    """
    open_transport = transport_opener(given.client_tls(tls, server_name))
    async with open_client(given.addresses(addresses), given.timeout(timeout), open_transport) as client:
        yield client


@asynccontextmanager
async def open_client(
    addresses: Sequence[Address],
    timeout_seconds: float,
    open_transport: OpenTransport,
    rng: random.Random | None = None,
) -> AsyncGenerator[Client]:
    """A client over transports of the caller's choice. Simulations hand in its randomness, too."""
    async with AsyncExitStack() as stack:
        nodes = [
            PoolNode(address, await stack.enter_async_context(open_transport(address)))
            for address in addresses
        ]
        pool = Pool(nodes, timeout_seconds, rng or random.Random())
        tasks = await stack.enter_async_context(tasks_opener()())
        try:
            yield Client(pool, tasks, rng or random.SystemRandom())
        finally:
            pool.close()
