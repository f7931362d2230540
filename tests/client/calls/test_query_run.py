"""Queries over scripted nodes in memory, under virtual time: fail-over, silence, leaving early, bounds."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import pytest
import trio

from gossipnode.client import (
    Client,
    ClientError,
    Condition,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    Op,
    Property,
    UnreachableError,
)
from gossipnode.client.calls import query_run
from gossipnode.client.calls.pool import TRIES_PER_NODE_MAX
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.client.support import Handlers, Stage, stage, stored, take

IDS = [f"{number:03}" for number in range(20)]
BATCH = 3

Stream = ServerStream[messages.QueryRequest, messages.RecordBatch]
Interruption = Callable[[Stream], Awaitable[None]]


class Shelf:
    """A node with records 000 to 019 in the group g, given in batches of three, in either order.

    `then` happens after `after_batches` batches.
    """

    def __init__(self, after_batches: int = -1, then: Interruption | None = None) -> None:
        self.after_batches = after_batches
        self.then = then
        self.asked: list[messages.QueryRequest] = []
        self.open = 0
        """Calls that have not ended."""

    @property
    def handlers(self) -> Handlers:
        return {services.NODE_QUERY: self._query}

    async def _query(self, stream: Stream) -> None:
        request = await stream.recv()
        assert request is not None
        self.asked.append(request)
        self.open += 1
        try:
            ids = self._ids(request)
            for at in range(0, len(ids) + 1, BATCH):
                if at == BATCH * self.after_batches:
                    assert self.then is not None
                    await self.then(stream)
                if ids[at : at + BATCH]:
                    records = [stored(id_) for id_ in ids[at : at + BATCH]]
                    await stream.send(messages.RecordBatch(records=records))
        finally:
            self.open -= 1

    @staticmethod
    def _ids(request: messages.QueryRequest) -> list[str]:
        descending = request.query.order_by.sort == 1
        ids = IDS[::-1] if descending else IDS
        if request.after:
            behind = request.after.rpartition("/")[2]
            ids = [id_ for id_ in ids if (id_ < behind if descending else id_ > behind)]
        return ids[: request.query.limit]


def failing(status: Status, message: str = "why") -> Interruption:
    async def fail(stream: Stream) -> None:
        raise RpcError(status, message)

    return fail


async def silence(stream: Stream) -> None:
    await trio.sleep_forever()


def silence_from_then_on(shelf: Shelf) -> Interruption:
    """In this call, and in every later one before its first batch."""

    async def fall_silent(stream: Stream) -> None:
        shelf.after_batches = 0
        await trio.sleep_forever()

    return fall_silent


async def searching(stream: Stream) -> None:
    """An empty answer every two seconds, and nothing found."""
    for _ in range(30):
        await trio.sleep(2)
        await stream.send(messages.RecordBatch())


def dying(nodes: Stage, name: str) -> Interruption:
    async def die(stream: Stream) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await nodes.kill(name)

    return die


async def test_what_is_asked_for() -> None:
    shelf = Shelf()
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        query = client.query(
            "g",
            "h",
            name="n",
            ids=["001", "002"],
            where='a = 1 AND b != "x"',
            select=["a", "b"],
            order_by="a",
            descending=True,
            limit=7,
            after="g/n/019",
            ack="quorum",
        )
        assert await take(query) == IDS[-2:-9:-1]
        assert await take(client.query("g", where=Condition("a", Op.GT, 5), order_by="a")) == IDS
        last = Property("g", "n", "018", {}, 0, 0, None)
        assert await take(client.query("g", after=last)) == ["019"]
    asked, by_criteria, behind = shelf.asked
    query = asked.query
    assert (query.groups, query.name, query.ids, query.limit) == (["g", "h"], "n", ["001", "002"], 7)
    assert (query.tag_projection, query.order_by.tag_name, query.order_by.sort) == (["a", "b"], "a", 1)
    assert (query.criteria.le.left.condition.name, query.criteria.le.right.condition.name) == ("a", "b")
    assert (asked.after, asked.ack) == ("g/n/019", "quorum")
    assert by_criteria.query.criteria.condition.op == Op.GT.value
    assert (by_criteria.query.order_by.sort, by_criteria.query.limit, by_criteria.ack) == (2, 100, "")
    assert behind.after == "g/n/018"


async def test_nothing_is_asked_before_the_first_record_is_wanted() -> None:
    shelf = Shelf()
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        client.query("g")
        async with aclosing(client.query("g")):
            pass
        await trio.testing.wait_all_tasks_blocked()
    assert not shelf.asked


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("batches", [0, 1, 3, 6])
async def test_a_query_goes_on_where_a_node_died(
    batches: int, descending: bool, autojump_clock: trio.abc.Clock
) -> None:
    async with stage() as nodes:
        a, b = Shelf(batches, dying(nodes, "a")), Shelf()
        await nodes.serve("a", a.handlers)
        await nodes.serve("b", b.handlers)
        async with nodes.client("a", "b") as client:
            order = {"order_by": "t", "descending": True} if descending else {}
            taken = await take(client.query("g", limit=19, **order))
    assert taken == (IDS[::-1] if descending else IDS)[:19]
    (first,), (second,) = a.asked, b.asked
    assert second.query.limit == 19 - BATCH * batches
    assert second.after == (f"g/n/{taken[BATCH * batches - 1]}" if batches else "")
    assert second.query.order_by == first.query.order_by


async def test_what_a_query_began_behind_is_kept_when_it_begins_again(autojump_clock: trio.abc.Clock) -> None:
    a, b = Shelf(0, failing(Status.UNAVAILABLE)), Shelf()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        assert await take(client.query("g", after="g/n/010")) == IDS[11:]
    assert b.asked[0].after == "g/n/010"


async def test_a_node_may_die_again_and_again(autojump_clock: trio.abc.Clock) -> None:
    """One batch arrives each time. That is progress, so the tries are not limited."""
    shelf = Shelf(1, failing(Status.UNAVAILABLE))
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        assert await take(client.query("g")) == IDS
    assert len(shelf.asked) == 7


async def test_a_query_that_makes_no_progress_ends(autojump_clock: trio.abc.Clock) -> None:
    shelf = Shelf(0, failing(Status.UNAVAILABLE))
    async with stage(a=shelf.handlers) as nodes, nodes.client("a", timeout=1000) as client:
        with pytest.raises(UnreachableError, match="a:7400: why"):
            await take(client.query("g"))
    assert len(shelf.asked) == TRIES_PER_NODE_MAX


async def test_signs_of_life_are_no_progress_for_ever(autojump_clock: trio.abc.Clock) -> None:
    async def seek_and_fail(stream: Stream) -> None:
        await searching(stream)
        raise RpcError(Status.UNAVAILABLE, "why")

    shelf = Shelf(0, seek_and_fail)
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        with pytest.raises(UnreachableError, match="a:7400: why"):
            await take(client.query("g"))
    assert TRIES_PER_NODE_MAX <= len(shelf.asked) <= 2 * TRIES_PER_NODE_MAX


async def test_the_timeout_runs_while_nothing_arrives(autojump_clock: trio.abc.Clock) -> None:
    async with stage(a=Shelf(1, searching).handlers) as nodes, nodes.client("a", timeout=5) as client:
        began = trio.current_time()
        assert await take(client.query("g")) == IDS
        assert trio.current_time() - began == pytest.approx(60)


async def test_a_node_that_falls_silent_is_left(autojump_clock: trio.abc.Clock) -> None:
    a, b = Shelf(2, silence), Shelf()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b", timeout=10) as client:
        began = trio.current_time()
        assert await take(client.query("g")) == IDS
        assert trio.current_time() - began == pytest.approx(5)
        await trio.testing.wait_all_tasks_blocked()
        assert (a.open, b.open) == (0, 0)


async def test_the_only_node_falls_silent(autojump_clock: trio.abc.Clock) -> None:
    shelf = Shelf(2)
    shelf.then = silence_from_then_on(shelf)
    async with stage(a=shelf.handlers) as nodes, nodes.client("a", timeout=10) as client:
        query = client.query("g")
        for id_ in IDS[:6]:
            assert (await anext(query)).id == id_
        await trio.sleep(100)
        began = trio.current_time()
        with pytest.raises(UnreachableError, match="a:7400: sent nothing for 10 s"):
            await anext(query)
        assert trio.current_time() - began <= 10
        with pytest.raises(StopAsyncIteration):
            await anext(query)


async def test_all_nodes_fall_silent(autojump_clock: trio.abc.Clock) -> None:
    a, b = Shelf(1), Shelf(0, silence)
    a.then = silence_from_then_on(a)
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b", timeout=10) as client:
        began = trio.current_time()
        with pytest.raises(UnreachableError, match=r"a:7400: sent nothing.*; b:7400: sent nothing"):
            await take(client.query("g"))
        assert trio.current_time() - began == pytest.approx(10)


async def test_a_slow_reader_has_all_the_time_it_wants(autojump_clock: trio.abc.Clock) -> None:
    shelf = Shelf()
    async with stage(a=shelf.handlers) as nodes, nodes.client("a", timeout=1) as client:
        taken = []
        async for record in client.query("g"):
            taken.append(record.id)
            await trio.sleep(10)
    assert taken == IDS
    assert len(shelf.asked) == 1


@pytest.mark.parametrize("how", ["break", "aclosing", "cancelled", "an error"])
async def test_a_reader_may_leave_early(how: str, autojump_clock: trio.abc.Clock) -> None:
    shelf = Shelf(2, silence)
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        await leave(client, how)
        # The exception that ended the reader may refer to it until other tasks have run.
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        await trio.testing.wait_all_tasks_blocked()
        assert shelf.open == 0
        shelf.then = searching
        assert await take(client.query("g", limit=2)) == IDS[:2]


async def leave(client: Client, how: str) -> None:
    if how == "break":
        async for _ in client.query("g"):
            break
    elif how == "aclosing":
        async with aclosing(client.query("g")) as records:
            async for _ in records:
                break
            await records.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(records)
    elif how == "cancelled":
        with trio.move_on_after(1):
            await take(client.query("g"))
    else:
        with suppress(KeyError):
            async for record in client.query("g"):
                raise KeyError(record)


async def test_a_wait_that_is_given_up_loses_no_record(autojump_clock: trio.abc.Clock) -> None:
    """Applications put a cancel scope around a single wait. No scope of ours is open between two records."""
    shelf = Shelf(2, searching)
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        records, taken, given_up = client.query("g"), [], 0
        while len(taken) < len(IDS):
            with trio.move_on_after(7) as scope:
                taken.append((await anext(records)).id)
            given_up += scope.cancelled_caught
    assert taken == IDS
    assert given_up == 60 // 7


async def test_the_client_is_closed_under_a_query() -> None:
    async with stage(a=Shelf(2, silence).handlers) as nodes:
        async with nodes.client("a") as client:
            records, unused = client.query("g"), client.query("g")
            assert (await anext(records)).id == IDS[0]
        # Records that have arrived are still handed out, but their end must not look like that of the query.
        with pytest.raises(ClientError, match="the client is closed"):
            await take(records)
        with pytest.raises(ClientError, match="the client is closed"):
            await anext(unused)


async def test_all_records_are_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_run, "QUERY_MAX_RECORDS", 8)
    shelf = Shelf()
    async with stage(a=shelf.handlers) as nodes, nodes.client("a") as client:
        assert await take(client.query("g", limit=None)) == IDS
        assert await take(client.query("g", limit=17)) == IDS[:17]
        assert await take(client.query("g", limit=8)) == IDS[:8]
    asked = [(request.query.limit, request.after) for request in shelf.asked]
    assert asked[:3] == [(8, ""), (8, "g/n/007"), (8, "g/n/015")]
    assert asked[3:] == [(8, ""), (8, "g/n/007"), (1, "g/n/015"), (8, "")]


async def test_a_node_that_gives_too_much_is_cut_off() -> None:
    class Generous(Shelf):
        @staticmethod
        def _ids(request: messages.QueryRequest) -> list[str]:
            return IDS

    async with stage(a=Generous().handlers) as nodes, nodes.client("a") as client:
        assert await take(client.query("g", limit=4)) == IDS[:4]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.NOT_FOUND, NotFoundError),
        (Status.INVALID_ARGUMENT, InvalidRequestError),
        (Status.RESOURCE_EXHAUSTED, FailedError),
    ],
)
async def test_a_refusal_is_not_taken_elsewhere(status: Status, kind: type[ClientError]) -> None:
    a, b = Shelf(0, failing(status)), Shelf()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        with pytest.raises(kind, match="why"):
            await take(client.query("g"))
    assert not b.asked


async def test_the_place_is_lost_with_the_record(autojump_clock: trio.abc.Clock) -> None:
    """In the order of a tag, a node can go on only after a record that it still has."""
    a, b = Shelf(1, failing(Status.UNAVAILABLE)), Shelf(0, failing(Status.INVALID_ARGUMENT, "no such record"))
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        with pytest.raises(FailedError) as caught:
            await take(client.query("g", order_by="t"))
    assert str(caught.value) == "the query broke off behind g/n/002 and cannot go on: no such record"


async def test_an_answer_that_is_no_property() -> None:
    async def lie(stream: Stream) -> None:
        await stream.send(messages.RecordBatch(records=[messages.Record(property=b"\xff")]))

    async with stage(a=Shelf(1, lie).handlers) as nodes, nodes.client("a") as client:
        with pytest.raises(FailedError, match="the node sent what is no property"):
            await take(client.query("g"))


async def test_nobody_there(autojump_clock: trio.abc.Clock) -> None:
    async with stage() as nodes, nodes.client("a") as client:
        with pytest.raises(NoNodeError):
            await take(client.query("g"))


async def test_many_queries_at_once() -> None:
    async with stage(a=Shelf().handlers) as nodes, nodes.client("a") as client:
        taken: list[list[str]] = []

        async def one() -> None:
            taken.append(await take(client.query("g")))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
    assert taken == [IDS] * 20
