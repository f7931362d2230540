"""Places for answers: by what an answer costs, for each caller its share, whichever service it asks."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.core.query.query import Query
from gossipnode.node.query.query_turns import (
    ANSWER_BYTES,
    ANSWERS_MADE_AT_ONCE,
    LOOKUPS_AT_ONCE,
    ORDERED_STREAMS_AT_ONCE,
    SCANS_AT_ONCE,
    QueryTurns,
    kind_of,
)
from gossipnode.node.search.search_turns import SEARCH_STALLED_SECONDS, SearchKind
from gossipnode.rpc import CallContext, ReplyBudget, RpcError, Status
from tests.concurrency.accounts import account
from tests.node.support import make_local

SCAN = Query(("sw",))
SORT = Query(("sw",), order_by="t")
KEYS = Query(("sw",), "n", frozenset({"1"}))


def turns_of_node() -> QueryTurns:
    return QueryTurns(make_local().shards)


def call_of(address: str = "10.0.0.1:4711", budget: ReplyBudget | None = None) -> CallContext:
    return CallContext("/s/m", {}, address, (), None, budget or ReplyBudget(10, account()))


async def fill(turns: QueryTurns, nursery: trio.Nursery, kind: SearchKind, times: int) -> list[RpcError]:
    """One caller asks for answers, and takes nothing of them. Gives the errors by which they end."""
    ends = list[RpcError]()

    async def hold() -> None:
        try:
            async with turns.streaming(call_of(), kind) as turn:
                with turn.handing_over():
                    await trio.sleep_forever()
        except RpcError as error:
            ends.append(error)

    for _ in range(times):
        nursery.start_soon(hold)
    await trio.testing.wait_all_tasks_blocked()
    return ends


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (SCAN, SearchKind.SCAN),
        (SORT, SearchKind.SORT),
        (KEYS, SearchKind.KEYS),
        (
            Query(("sw",), "n", frozenset({"1", "2"}), order_by="t"),
            SearchKind.KEYS,
        ),
        (Query(("sw",), "", frozenset({"1"})), SearchKind.SCAN),
        (Query(("sw",), "n", order_by="t"), SearchKind.SORT),
    ],
)
def test_an_answer_takes_a_place_by_what_it_costs(query: Query, kind: SearchKind) -> None:
    assert kind_of(query) is kind


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        (SearchKind.KEYS, LOOKUPS_AT_ONCE.working // 2),
        (SearchKind.SCAN, SCANS_AT_ONCE.working // 2),
        (SearchKind.SORT, ORDERED_STREAMS_AT_ONCE.working // 2),
        (SearchKind.WHOLE, ANSWERS_MADE_AT_ONCE.working // 2),
    ],
)
async def test_a_caller_alone_works_at_half_of_the_places(
    kind: SearchKind, share: int, autojump_clock: object
) -> None:
    turns = turns_of_node()
    async with trio.open_nursery() as nursery:
        await fill(turns, nursery, kind, 100)
        assert turns.held == share
        with trio.fail_after(0):
            async with turns.streaming(call_of("10.0.0.2:4711"), kind):
                assert turns.held == share + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("full", [SearchKind.SCAN, SearchKind.SORT, SearchKind.WHOLE])
async def test_a_lookup_by_key_waits_behind_no_other_search(full: SearchKind, autojump_clock: object) -> None:
    """The same caller, over the same connection."""
    turns = turns_of_node()
    async with trio.open_nursery() as nursery:
        await fill(turns, nursery, full, 300)
        with trio.fail_after(0.01):
            async with turns.making(call_of(), KEYS):
                pass
        with trio.fail_after(0):
            async with turns.streaming(call_of(), kind_of(KEYS)):
                pass
        nursery.cancel_scope.cancel()


async def test_answers_that_nobody_takes_end_while_others_wait(autojump_clock: object) -> None:
    turns = turns_of_node()
    async with trio.open_nursery() as nursery:
        ends = await fill(turns, nursery, SearchKind.SORT, ORDERED_STREAMS_AT_ONCE.held // 2)
        await trio.sleep(10 * SEARCH_STALLED_SECONDS)
        assert ends == [], "nobody waits"
        async with turns.streaming(call_of(), SearchKind.SORT):
            assert [end.status for end in ends] == [Status.RESOURCE_EXHAUSTED]
        assert "too little was taken for too long while others waited: read faster" in ends[0].message
        nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_take_its_answers_holds_up_itself_alone() -> None:
    turns = turns_of_node()
    deaf = ReplyBudget(10, account())
    made: list[str] = []

    async def make(name: str, budget: ReplyBudget) -> None:
        async with turns.making(call_of(budget=budget), SCAN):
            made.append(name)

    async with trio.open_nursery() as nursery:
        with deaf.holding(10):
            for _ in range(3 * ANSWERS_MADE_AT_ONCE.held):
                nursery.start_soon(make, "deaf", deaf)
            await trio.testing.wait_all_tasks_blocked()
            await make("other", ReplyBudget(10, account()))
            assert made == ["other"]
        await trio.testing.wait_all_tasks_blocked()
        assert made.count("deaf") == 3 * ANSWERS_MADE_AT_ONCE.held


async def test_an_answer_whose_client_stopped_reading_while_it_waited_is_not_made(
    autojump_clock: object,
) -> None:
    turns = turns_of_node()
    deaf = ReplyBudget(10, account())
    made: list[str] = []

    async def make() -> None:
        async with turns.making(call_of(budget=deaf), SCAN):
            made.append("deaf")

    async with trio.open_nursery() as nursery:
        await fill(turns, nursery, SearchKind.WHOLE, ANSWERS_MADE_AT_ONCE.held // 2)
        nursery.start_soon(make)
        await trio.testing.wait_all_tasks_blocked()
        with deaf.holding(10):
            nursery.cancel_scope.cancel()
    assert made == []


@pytest.mark.parametrize("kind", list(SearchKind))
async def test_an_answer_counts_in_the_memory_as_long_as_it_has_a_place(kind: SearchKind) -> None:
    turns, budget = turns_of_node(), ReplyBudget(10, account())
    memory = budget.memory.budget
    async with turns.streaming(call_of(budget=budget), kind):
        assert memory.by_use() == {f"answers: {kind.value}": ANSWER_BYTES[kind]}
    assert memory.shares.held == 0
