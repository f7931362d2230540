from __future__ import annotations

import pytest
import trio

from gossipnode.client.calls.node_client import NodeClient, QueryOptions, connect_node
from gossipnode.client.errors import (
    ClientError,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.config.address import Address
from gossipnode.core.model.property import Entity
from gossipnode.core.query.criteria import Condition, Op
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.client.support import NODE_CLIENT_TIMEOUT_SECONDS as TIMEOUT_SECONDS
from tests.client.support import node_client
from tests.records import prop

KEY = Entity("g", "n", "i")


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (Status.NOT_FOUND, NotFoundError, "why"),
        (Status.INVALID_ARGUMENT, InvalidRequestError, "why"),
        (Status.PERMISSION_DENIED, RefusedError, "host:1 refuses: why"),
        (Status.UNAUTHENTICATED, RefusedError, "host:1 refuses: why"),
        (Status.UNAVAILABLE, UnreachableError, "host:1: why"),
        (Status.DEADLINE_EXCEEDED, UnreachableError, "host:1: why"),
        (Status.RESOURCE_EXHAUSTED, FailedError, "host:1: why"),
        (Status.INTERNAL, FailedError, "host:1: why"),
        (Status.UNIMPLEMENTED, UnreachableError, "is it a gossipnode node?"),
    ],
)
async def test_a_status_becomes_an_error_of_our_own(
    status: Status, kind: type[ClientError], message: str
) -> None:
    async def fail(request: messages.GetRequest, call: CallContext) -> messages.GetResponse:
        raise RpcError(status, "why")

    async def fail_late(stream: ServerStream[messages.ExportRequest, messages.RecordBatch]) -> None:
        await stream.recv()
        await stream.send(messages.RecordBatch())
        raise RpcError(status, "why")

    caught: list[BaseException] = []
    async with node_client({services.NODE_GET: fail, services.NODE_EXPORT: fail_late}) as client:
        try:
            await client.get(KEY)
        except ClientError as error:
            caught.append(error)
        try:
            async with client.export("g") as batches:
                assert [batch async for batch in batches] == [[]]
        except ClientError as error:
            caught.append(error)
    for found in caught:
        assert type(found) is kind
        assert message in str(found)
    assert len(caught) == 2


async def test_the_timeout_runs_while_nothing_arrives(autojump_clock: trio.abc.Clock) -> None:
    """Ten answers, each just in time: together they may take longer than the timeout."""
    answers = 10

    async def slow(stream: ServerStream[messages.ExportRequest, messages.RecordBatch]) -> None:
        await stream.recv()
        for _ in range(answers):
            await trio.sleep(TIMEOUT_SECONDS * 0.9)
            await stream.send(messages.RecordBatch())
        await trio.sleep(TIMEOUT_SECONDS * 1.1)

    taken: list[object] = []

    async def read(client: NodeClient) -> None:
        async with client.export("g") as batches:
            async for batch in batches:
                taken.append(batch)

    async with node_client({services.NODE_EXPORT: slow}) as client:
        with pytest.raises(UnreachableError, match="host:1 sent nothing for 5 s"):
            await read(client)
    assert len(taken) == answers


async def test_a_round_is_waited_for(autojump_clock: trio.abc.Clock) -> None:
    async def slow(stream: ServerStream[messages.RepairRequest, messages.RoundEvent]) -> None:
        await stream.recv()
        await trio.sleep(100 * TIMEOUT_SECONDS)
        await stream.send(messages.RoundEvent(round="r"))

    async with node_client({services.NODE_REPAIR: slow}) as client:
        async with client.repair("g", None, wait=True) as events:
            assert [event.round async for event in events] == ["r"]
        async with client.repair("g", 0, wait=False) as events:
            with pytest.raises(UnreachableError):
                await anext(events)


async def test_what_a_query_asks_for() -> None:
    asked: list[messages.QueryRequest] = []

    async def answer(stream: ServerStream[messages.QueryRequest, messages.RecordBatch]) -> None:
        request = await stream.recv()
        assert request is not None
        asked.append(request)
        record = messages.Record(property=prop(KEY, a=1), delete_time=7)
        await stream.send(messages.RecordBatch(records=[record]))

    options = QueryOptions(
        ["g"], "n", ["i"], Condition("a", Op.EQ, 1), ["a"], order_by="a", descending=True, limit=3, after=KEY
    )
    async with node_client({services.NODE_QUERY: answer}) as client:
        async with client.query(options) as batches:
            assert [batch async for batch in batches] == [[StoredProperty(KEY, {"a": 1}, delete_time=7)]]
    query = asked[0].query
    assert (query.groups, query.name, query.ids, query.tag_projection) == (["g"], "n", ["i"], ["a"])
    assert (query.limit, query.order_by.tag_name, query.order_by.sort) == (3, "a", 1)
    assert (query.criteria.condition.name, asked[0].after) == ("a", "g/n/i")


async def test_a_reader_may_leave_early() -> None:
    async def endless(stream: ServerStream[messages.ExportRequest, messages.RecordBatch]) -> None:
        await stream.recv()
        while True:
            await stream.send(messages.RecordBatch())

    async with node_client({services.NODE_EXPORT: endless}) as client:
        async with client.export("g") as batches:
            async for _ in batches:
                break


async def test_nobody_there() -> None:
    with pytest.raises(NoNodeError, match=r"no node answers at 127\.0\.0\.1:1: connection refused"):
        async with connect_node(Address("127.0.0.1", 1)) as client:
            await client.status()
