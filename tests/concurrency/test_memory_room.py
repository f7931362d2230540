"""Waiting for room in the budget of memory."""

from collections.abc import Callable

import trio
import trio.testing

from gossipnode.concurrency.memory_budget import MIB, MemoryAccount, MemoryBudget
from gossipnode.concurrency.memory_room import RoomFor, holding
from gossipnode.concurrency.shares import Caller
from tests.concurrency.accounts import account


async def hold(memory: MemoryAccount, size: int, then: Callable[[], object] = lambda: None) -> None:
    async with RoomFor(memory, size):
        then()
        await trio.sleep_forever()


async def test_what_fits_is_counted_at_once_and_given_back() -> None:
    memory = account(8 * MIB)
    with trio.fail_after(0):
        async with RoomFor(memory, MIB):
            assert memory.held == MIB
    assert (memory.held, memory.budget.shares.held) == (0, 0)


async def test_what_does_not_fit_waits_until_it_does() -> None:
    memory, got = account(8 * MIB), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, memory, MIB)
        await trio.testing.wait_all_tasks_blocked()
        memory.take(3 * MIB)
        nursery.start_soon(hold, memory, MIB // 4, lambda: got.append(1))
        await trio.testing.wait_all_tasks_blocked()
        memory.give_back(MIB)
        await trio.testing.wait_all_tasks_blocked()
        assert not got
        memory.give_back(MIB)
        await trio.testing.wait_all_tasks_blocked()
        assert got
        nursery.cancel_scope.cancel()


async def test_one_block_of_a_use_gets_room_whatever_else_is_held() -> None:
    budget, got = MemoryBudget(8 * MIB), list[int]()
    budget.account("connections", Caller("peer")).take(8 * MIB)
    requests = budget.account("requests", Caller("peer"))
    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(hold, requests, MIB, lambda number=number: got.append(number))  # type: ignore[misc]
        await trio.testing.wait_all_tasks_blocked()
        assert len(got) == 1
        with trio.fail_after(0):
            async with RoomFor(budget.account("answers", Caller("peer")), MIB):
                pass
        nursery.cancel_scope.cancel()


async def test_when_the_only_block_is_over_the_next_one_gets_room() -> None:
    memory, got = account(8 * MIB), list[int]()
    memory.take(8 * MIB)
    async with trio.open_nursery() as nursery:
        async with RoomFor(memory, MIB):
            nursery.start_soon(hold, memory, MIB, lambda: got.append(1))
            await trio.testing.wait_all_tasks_blocked()
            assert not got
        await trio.testing.wait_all_tasks_blocked()
        assert got
        nursery.cancel_scope.cancel()


async def test_who_gives_up_waiting_is_not_woken_any_more() -> None:
    memory = account(8 * MIB)
    async with RoomFor(memory, MIB):
        memory.take(3 * MIB)
        with trio.move_on_after(0):
            await hold(memory, MIB)
        memory.give_back(3 * MIB)
    assert memory.held == 0
    assert not memory.budget._lines
    assert not memory.budget._rooms


async def test_a_block_holds_what_it_says_for_its_caller_and_its_use() -> None:
    budget = MemoryBudget(64 * MIB)
    memory = budget.account("connections", Caller("peer"))
    async with holding(memory, "answers", 4 * MIB):
        assert budget.by_use() == {"answers": 4 * MIB}
        assert budget.shares.callers() == [(Caller("peer"), 4 * MIB)]
    assert budget.shares.held == 0


async def test_of_a_small_budget_a_block_holds_an_eighth() -> None:
    memory = account(8 * MIB)
    async with holding(memory, "answers", 100 * MIB):
        assert memory.budget.shares.held == MIB


async def test_blocks_of_no_bytes_are_counted_like_others() -> None:
    """Many requests are empty."""
    memory = account(8 * MIB)
    async with RoomFor(memory, 0):
        async with RoomFor(memory, 0):
            pass
        async with RoomFor(memory, MIB):
            assert memory.held == MIB
    assert not memory.budget._rooms
    assert not memory.budget._room_bytes
