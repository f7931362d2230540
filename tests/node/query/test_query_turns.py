"""Whole answers are made a few at a time, and not for a client that does not take those it has."""

from __future__ import annotations

import trio
import trio.testing

from gossipnode.node.query.query_turns import (
    ANSWERS_MADE_AT_ONCE,
    ORDERED_STALLED_SECONDS,
    ORDERED_STREAMS_AT_ONCE,
    QueryTurns,
)
from gossipnode.rpc import CallContext, ReplyBudget, RpcError, Status
from tests.concurrency.accounts import account


def call_of(budget: ReplyBudget) -> CallContext:
    return CallContext("/s/m", {}, "somebody", (), None, budget)


async def test_only_a_few_answers_are_made_at_once() -> None:
    turns, most = QueryTurns(), 0
    running = 0

    async def make() -> None:
        nonlocal running, most
        async with turns.making(call_of(ReplyBudget(10, account()))):
            running += 1
            most = max(most, running)
            await trio.testing.wait_all_tasks_blocked()
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(3 * ANSWERS_MADE_AT_ONCE):
            nursery.start_soon(make)
    assert most == ANSWERS_MADE_AT_ONCE


async def test_a_client_that_does_not_take_its_answers_holds_up_itself_alone() -> None:
    turns = QueryTurns()
    deaf = ReplyBudget(10, account())
    made: list[str] = []

    async def make(name: str, budget: ReplyBudget) -> None:
        async with turns.making(call_of(budget)):
            made.append(name)

    async with trio.open_nursery() as nursery:
        with deaf.holding(10):
            for _ in range(3 * ANSWERS_MADE_AT_ONCE):
                nursery.start_soon(make, "deaf", deaf)
            await trio.testing.wait_all_tasks_blocked()
            await make("other", ReplyBudget(10, account()))
            assert made == ["other"]
        await trio.testing.wait_all_tasks_blocked()
        assert made.count("deaf") == 3 * ANSWERS_MADE_AT_ONCE


async def test_ordered_streams_beyond_the_limit_wait_their_turn_in_order() -> None:
    turns = QueryTurns()
    release = [trio.Event() for _ in range(3 * ORDERED_STREAMS_AT_ONCE)]
    began: list[int] = []

    async def stream(number: int) -> None:
        async with turns.ordered_stream():
            began.append(number)
            await release[number].wait()

    async with trio.open_nursery() as nursery:
        for number in range(len(release)):
            nursery.start_soon(stream, number)
            await trio.testing.wait_all_tasks_blocked()
        assert began == list(range(ORDERED_STREAMS_AT_ONCE))
        for number in range(len(release)):
            release[number].set()
            await trio.testing.wait_all_tasks_blocked()
            assert began == list(range(min(len(release), number + 1 + ORDERED_STREAMS_AT_ONCE)))


async def hold_all(turns: QueryTurns, nursery: trio.Nursery, ends: list[RpcError]) -> None:
    """Take every place, for clients that take nothing."""

    async def hold() -> None:
        try:
            async with turns.ordered_stream():
                await trio.sleep_forever()
        except RpcError as error:
            ends.append(error)

    for _ in range(ORDERED_STREAMS_AT_ONCE):
        nursery.start_soon(hold)
    await trio.testing.wait_all_tasks_blocked()


async def test_clients_that_take_nothing_give_their_places_to_those_that_wait(autojump_clock: object) -> None:
    turns, ends = QueryTurns(), list[RpcError]()
    async with trio.open_nursery() as nursery:
        await hold_all(turns, nursery, ends)
        await trio.sleep(10 * ORDERED_STALLED_SECONDS)
        assert ends == [], "nobody waits"
        async with turns.ordered_stream():
            pass
        assert [end.status for end in ends] == [Status.RESOURCE_EXHAUSTED]
        assert "nothing was taken for 10 s while others waited" in ends[0].message
        nursery.cancel_scope.cancel()


async def test_clients_that_take_something_keep_their_places(autojump_clock: object) -> None:
    turns = QueryTurns()

    async def take() -> None:
        async with turns.ordered_stream() as place:
            for _ in range(10):
                await trio.sleep(0.9 * ORDERED_STALLED_SECONDS)
                place.took()

    async with trio.open_nursery() as nursery:
        for _ in range(ORDERED_STREAMS_AT_ONCE):
            nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        async with turns.ordered_stream():
            assert trio.current_time() >= 9 * ORDERED_STALLED_SECONDS


async def test_a_query_that_gives_up_waiting_costs_nobody_a_place(autojump_clock: object) -> None:
    turns, ends = QueryTurns(), list[RpcError]()
    async with trio.open_nursery() as nursery:
        await hold_all(turns, nursery, ends)
        for _ in range(20):
            with trio.move_on_after(0.01):
                async with turns.ordered_stream():
                    raise AssertionError("there is no place")
        nursery.cancel_scope.cancel()
    for _ in range(2 * ORDERED_STREAMS_AT_ONCE):
        with trio.fail_after(0):
            async with turns.ordered_stream():
                pass
