"""Whole answers are made a few at a time, and not for a client that does not take those it has."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.node.query.query_turns import ANSWERS_MADE_AT_ONCE, ORDERED_STREAMS_AT_ONCE, QueryTurns
from gossipnode.rpc import CallContext, ReplyBudget, RpcError, Status


def call_of(budget: ReplyBudget) -> CallContext:
    return CallContext("/s/m", {}, "somebody", (), None, budget)


async def test_only_a_few_answers_are_made_at_once() -> None:
    turns, most = QueryTurns(), 0
    running = 0

    async def make() -> None:
        nonlocal running, most
        async with turns.making(call_of(ReplyBudget(10))):
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
    deaf = ReplyBudget(10)
    made: list[str] = []

    async def make(name: str, budget: ReplyBudget) -> None:
        async with turns.making(call_of(budget)):
            made.append(name)

    async with trio.open_nursery() as nursery:
        with deaf.holding(10):
            for _ in range(3 * ANSWERS_MADE_AT_ONCE):
                nursery.start_soon(make, "deaf", deaf)
            await trio.testing.wait_all_tasks_blocked()
            await make("other", ReplyBudget(10))
            assert made == ["other"]
        await trio.testing.wait_all_tasks_blocked()
        assert made.count("deaf") == 3 * ANSWERS_MADE_AT_ONCE


def test_ordered_streams_beyond_the_limit_are_refused() -> None:
    turns = QueryTurns()
    held = [turns.ordered_stream() for _ in range(ORDERED_STREAMS_AT_ONCE)]
    for one in held:
        one.__enter__()
    with pytest.raises(RpcError, match="ordered queries are under way") as refused, turns.ordered_stream():
        pass
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    held[0].__exit__(None, None, None)
    with turns.ordered_stream():
        pass
