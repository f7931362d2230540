"""Places are given in the order asked, and not kept by who takes nothing."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.concurrency.fair_turns import FairTurns, StalledError

STALLED_SECONDS = 10.0


def turns_of(count: int) -> FairTurns:
    return FairTurns(count, stalled_seconds=STALLED_SECONDS)


async def test_a_place_is_taken_at_once_while_there_are_some() -> None:
    turns = turns_of(2)
    async with turns.hold(), turns.hold():
        assert turns.held == 2
        with trio.move_on_after(0) as waited:
            async with turns.hold():
                raise AssertionError("there is no third place")
        assert waited.cancelled_caught
    assert turns.held == 0


async def test_who_comes_later_does_not_overtake_one_that_was_handed_a_place() -> None:
    turns, order = turns_of(1), list[str]()

    async def take(name: str) -> None:
        async with turns.hold():
            order.append(name)

    async with trio.open_nursery() as nursery:
        async with turns.hold():
            nursery.start_soon(take, "first")
            await trio.testing.wait_all_tasks_blocked()
        # The first one has been handed the place, and has not run yet.
        await take("second")
    assert order == ["first", "second"]


@pytest.mark.parametrize("gives_up", ["while it waits", "just before it is handed a place", "just after"])
async def test_who_gives_up_waiting_leaves_its_turn_to_the_next(gives_up: str) -> None:
    turns, order = turns_of(1), list[str]()
    impatient = trio.CancelScope()

    async def take(name: str, scope: trio.CancelScope) -> None:
        with scope:
            async with turns.hold():
                await trio.lowlevel.checkpoint()
                order.append(name)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            async with turns.hold():
                nursery.start_soon(take, "impatient", impatient)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(take, "next", trio.CancelScope())
                await trio.testing.wait_all_tasks_blocked()
                if gives_up != "just after":
                    impatient.cancel()
                if gives_up == "while it waits":
                    await trio.testing.wait_all_tasks_blocked()
            # Where it was handed the place, it has not run since.
            impatient.cancel()
    assert order == ["next"]
    assert turns.held == 0


async def test_the_holder_that_stalled_longest_loses_its_place(autojump_clock: object) -> None:
    turns, lost = turns_of(2), list[str]()

    async def hold(name: str, takes_at: float) -> None:
        try:
            async with turns.hold() as turn:
                await trio.sleep(takes_at)
                turn.took()
                await trio.sleep_forever()
        except StalledError:
            lost.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold, "lively", 5.0)
        nursery.start_soon(hold, "stalled", 1.0)
        await trio.sleep(6.0)
        async with turns.hold():
            assert trio.current_time() - 1.0 >= STALLED_SECONDS
            assert lost == ["stalled"]
        nursery.cancel_scope.cancel()


async def test_an_error_of_the_holder_passes_and_frees_its_place() -> None:
    turns = turns_of(1)
    with pytest.raises(KeyError):
        async with turns.hold():
            raise KeyError("x")
    assert turns.held == 0
    async with turns.hold():
        pass
