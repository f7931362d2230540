"""Work on what others send is spread over turns of the loop, fairly to callers."""

from __future__ import annotations

from collections import Counter

import trio
import trio.testing

from gossipnode.concurrency.loop_turns import LoopTurns, loop_turns
from gossipnode.concurrency.shares import Caller

GREEDY, MODEST = Caller("greedy"), Caller("modest")


class Turns(trio.abc.Instrument):
    """Tasks that spend, and in which turn of the loop each of them went on."""

    def __init__(self, turn_bytes: int) -> None:
        self.turns = LoopTurns(turn_bytes)
        self.now = 0
        self.went_on: list[tuple[int, Caller]] = []

    def before_io_wait(self, timeout: float) -> None:
        self.now += 1

    async def work(self, caller: Caller, size: int) -> None:
        await self.turns.spend(caller, size)
        self.went_on.append((self.now, caller))

    async def all_of(self, *asked: tuple[Caller, int]) -> None:
        """Have tasks ask in one turn of the loop, when what may go on at once has been used."""
        await self.turns.spend(GREEDY, 1_000_000)
        trio.lowlevel.add_instrument(self)
        async with trio.open_nursery() as nursery:
            for caller, size in asked:
                nursery.start_soon(self.work, caller, size)
        trio.lowlevel.remove_instrument(self)


async def test_what_fits_goes_on_at_once() -> None:
    turns = LoopTurns(100)
    with trio.fail_after(0), trio.testing.assert_no_checkpoints():
        await turns.spend(GREEDY, 60)
        await turns.spend(MODEST, 60)  # the last one may go beyond
    assert not turns.full


async def test_no_turn_has_more_than_its_bytes_and_one_more() -> None:
    turns = Turns(100)
    await turns.all_of(*[(GREEDY, 30)] * 1000)
    in_a_turn = Counter(turn for turn, _ in turns.went_on)
    assert sum(in_a_turn.values()) == 1000
    assert max(in_a_turn.values()) == 4


async def test_large_work_is_alone_in_its_turn() -> None:
    turns = Turns(100)
    await turns.all_of(*[(GREEDY, 5000)] * 10)
    assert max(Counter(turn for turn, _ in turns.went_on).values()) == 1


async def test_who_asks_for_little_is_not_behind_who_asks_for_much() -> None:
    turns = Turns(100)
    await turns.all_of(*[(GREEDY, 100)] * 200, (MODEST, 10))
    first = turns.went_on[0][0]
    assert (first, MODEST) in turns.went_on


async def test_callers_share_when_all_ask_for_much() -> None:
    turns = Turns(100)
    await turns.all_of(*[(GREEDY, 50)] * 100, *[(MODEST, 50)] * 10)
    callers = [caller for _, caller in turns.went_on]
    assert callers[:24].count(MODEST) >= 9


async def test_who_gives_up_takes_nothing_of_a_turn() -> None:
    turns = Turns(100)
    await turns.turns.spend(GREEDY, 100)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            await turns.turns.spend(MODEST, 1)
        assert scope.cancelled_caught
        nursery.start_soon(turns.work, GREEDY, 1)
    assert [caller for _, caller in turns.went_on] == [GREEDY]
    await trio.testing.wait_all_tasks_blocked()
    assert not turns.turns.full


async def test_after_a_crowd_work_goes_on_at_once_again() -> None:
    turns = Turns(100)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(turns.work, GREEDY, 60)
    await trio.testing.wait_all_tasks_blocked()
    assert not turns.turns.full
    await turns.turns.spend(MODEST, 1)


async def test_a_run_has_its_own_turns() -> None:
    assert loop_turns() is loop_turns()


async def test_what_a_turn_has_left_is_whole_again_in_the_next_one() -> None:
    turns = LoopTurns(100)
    trio.lowlevel.add_instrument(turns)
    for _ in range(20):
        with trio.testing.assert_no_checkpoints():
            await turns.spend(GREEDY, 90)
            await turns.spend(MODEST, 90)
        await trio.lowlevel.checkpoint()
    trio.lowlevel.remove_instrument(turns)
    assert not turns.full
