"""Places are shared by callers, given in turn, and not kept by a counterpart that takes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.concurrency.fair_turns import (
    PARKED_SECONDS,
    STALLED_MIN_SECONDS,
    TAKEN_EARNS_SECONDS,
    FairTurns,
    StalledError,
    Turn,
)
from gossipnode.concurrency.shares import Caller

STALLED_SECONDS = 10.0
A, B, C = Caller("a"), Caller("b"), Caller("c")


def turns_of(working: int, held: int | None = None) -> FairTurns:
    return FairTurns(working, held=held or working, stalled_seconds=STALLED_SECONDS)


class Callers:
    """Requests of callers. Each holds its place until it is told to leave, and may stall meanwhile."""

    def __init__(self, turns: FairTurns, nursery: trio.Nursery) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.ended: dict[str, float] = {}
        self._nursery = nursery
        self._leave: dict[str, trio.Event] = {}

    async def ask(
        self, name: str, caller: Caller, line: str = "", *, takes_every: float | None = None
    ) -> None:
        """Ask for a place. With `takes_every`, its counterpart takes something each time so many seconds."""
        self._leave[name] = trio.Event()
        self._nursery.start_soon(self._hold, name, caller, line, takes_every)
        await trio.testing.wait_all_tasks_blocked()

    async def _hold(self, name: str, caller: Caller, line: str, takes_every: float | None) -> None:
        try:
            async with self.turns.hold(caller, line) as turn:
                self.began.append(name)
                while takes_every is not None:
                    with turn.handing_over():
                        await trio.sleep(takes_every)
                await self._leave[name].wait()
        except StalledError:
            self.ended[name] = trio.current_time()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await trio.testing.wait_all_tasks_blocked()

    def stop(self) -> None:
        self._nursery.cancel_scope.cancel()


async def test_a_caller_alone_has_half_of_the_places_and_the_next_one_finds_room() -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(8), nursery)
        for number in range(10):
            await callers.ask(f"a{number}", A)
        assert callers.began == ["a0", "a1", "a2", "a3"]
        for number in range(10):
            await callers.ask(f"b{number}", B)
        assert callers.began[4:] == ["b0", "b1"]
        await callers.ask("c0", C)
        assert callers.began[6:] == ["c0"]
        assert callers.turns.held == 7
        callers.stop()
    assert (callers.turns.held, callers.turns.waiting) == (0, 0)


async def test_a_hundred_requests_of_one_caller_delay_the_first_one_of_another_by_none_or_one() -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1), nursery)
        for number in range(100):
            await callers.ask(f"a{number}", A)
        await callers.ask("b0", B)
        await callers.ask("c0", C)
        for _ in range(3):
            await callers.leave(callers.began[-1])
        assert callers.began == ["a0", "a1", "b0", "c0"]
        callers.stop()


async def test_the_lines_of_a_caller_take_turns() -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1), nursery)
        for number in range(100):
            await callers.ask(f"x{number}", A, "x")
        for number in range(2):
            await callers.ask(f"y{number}", A, "y")
        for _ in range(5):
            await callers.leave(callers.began[-1])
        assert callers.began == ["x0", "x1", "y0", "x2", "y1", "x3"]
        callers.stop()


async def test_who_comes_later_does_not_overtake_one_that_was_handed_a_place() -> None:
    turns, order = turns_of(1), list[str]()

    async def take(name: str) -> None:
        async with turns.hold(A):
            order.append(name)

    async with trio.open_nursery() as nursery:
        async with turns.hold(A):
            nursery.start_soon(take, "first")
            await trio.testing.wait_all_tasks_blocked()
        # The first one has been handed the place, and has not run yet.
        await take("second")
    assert order == ["first", "second"]


@pytest.mark.parametrize("handed", [False, True])
async def test_who_gives_up_waiting_leaves_its_turn_to_the_next(handed: bool) -> None:
    turns, order = turns_of(1), list[str]()
    impatient = trio.CancelScope()

    async def take(name: str, scope: trio.CancelScope) -> None:
        with scope:
            async with turns.hold(A):
                order.append(name)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            async with turns.hold(A):
                nursery.start_soon(take, "impatient", impatient)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(take, "next", trio.CancelScope())
                await trio.testing.wait_all_tasks_blocked()
                impatient.cancel()
                if not handed:
                    await trio.testing.wait_all_tasks_blocked()
            # If it was handed the place, it has not run since it was cancelled.
    assert order == ["next"]
    assert (turns.held, turns.waiting) == (0, 0)


async def test_an_error_of_the_holder_passes_and_frees_its_place() -> None:
    turns = turns_of(1)
    with pytest.raises(KeyError):
        async with turns.hold(A):
            raise KeyError("x")
    assert turns.held == 0


async def test_others_work_in_the_place_of_those_that_stall(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(2, held=8), nursery)
        for number in range(3):
            await callers.ask(f"stalled{number}", A, takes_every=1e6)
        assert callers.began == ["stalled0"]
        await trio.sleep(3 * PARKED_SECONDS)
        await callers.ask("quick", A)
        await trio.sleep(3 * PARKED_SECONDS)
        assert callers.began == ["stalled0", "stalled1", "stalled2", "quick"]
        assert callers.ended == {}
        callers.stop()


async def test_one_that_works_again_counts_again(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1, held=8), nursery)
        may_take = trio.Event()

        async def stall() -> None:
            async with callers.turns.hold(A) as turn:
                with turn.handing_over():
                    await may_take.wait()
                await trio.sleep_forever()

        nursery.start_soon(stall)
        await callers.ask("quick", A)
        await trio.sleep(2 * PARKED_SECONDS)
        assert callers.began == ["quick"]
        may_take.set()
        await callers.leave("quick")
        await callers.ask("next", A)
        await trio.sleep(10 * STALLED_SECONDS)
        assert callers.began == ["quick"]
        callers.stop()


@pytest.mark.parametrize("takes_every", [TAKEN_EARNS_SECONDS + 1, 9.0, 1e6])
async def test_a_counterpart_that_takes_too_little_loses_its_place(
    takes_every: float, autojump_clock: object
) -> None:
    """One message in nine seconds is too little, too: by that pace it would hold its place for minutes."""
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1), nursery)
        await callers.ask("slow", A, takes_every=takes_every)
        await trio.sleep(100)
        assert callers.ended == {}, "nobody waits"
        await callers.ask("waits", A)
        await trio.sleep(100)
        assert list(callers.ended) == ["slow"]
        assert callers.began == ["slow", "waits"]
        callers.stop()


async def test_a_counterpart_that_takes_something_in_time_keeps_its_place(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1), nursery)
        await callers.ask("steady", A, takes_every=0.9 * TAKEN_EARNS_SECONDS)
        await callers.ask("waits", A)
        await trio.sleep(300)
        assert callers.ended == {}
        callers.stop()


async def test_the_holder_that_stalled_longest_goes_first(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(4), nursery)
        await callers.ask("first", A, takes_every=1e6)
        await trio.sleep(1)
        await callers.ask("second", A, takes_every=1e6)
        await callers.ask("waits", A)
        await trio.sleep(STALLED_SECONDS)
        assert list(callers.ended) == ["first"]
        callers.stop()


@pytest.mark.parametrize(("waiting", "patience"), [(1, 10.0), (4, 5.0), (100, STALLED_MIN_SECONDS)])
async def test_the_more_of_its_own_wait_the_less_may_a_holder_stall(
    waiting: int, patience: float, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(4), nursery)
        for number in range(2):
            await callers.ask(f"stalled{number}", A, takes_every=1e6)
        began = trio.current_time()
        for number in range(waiting):
            await callers.ask(f"waits{number}", A)
        await trio.sleep(2 * STALLED_SECONDS)
        assert callers.ended["stalled0"] - began == pytest.approx(patience, abs=2 * PARKED_SECONDS)
        callers.stop()


async def test_a_caller_loses_no_place_to_one_that_holds_as_much(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(3), nursery)
        await callers.ask("b0", B, takes_every=1e6)
        for number in range(100):
            await callers.ask(f"a{number}", A)
        await trio.sleep(10 * STALLED_SECONDS)
        assert callers.ended == {}, "a holds one place, too, and waits for more"
        callers.stop()


async def test_a_caller_that_holds_more_loses_a_place_to_one_that_holds_less(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(4), nursery)
        for name, caller in (("a0", A), ("a1", A), ("b0", B), ("c0", C)):
            await callers.ask(name, caller, takes_every=1e6)
        await callers.ask("d0", Caller("d"))
        await trio.sleep(STALLED_SECONDS + 3 * PARKED_SECONDS)
        assert list(callers.ended) == ["a0"]
        assert callers.began[-1] == "d0"
        callers.stop()


@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from("xy"), st.booleans()), max_size=60),
    st.integers(1, 6),
)
def test_always_within_the_shares_and_nobody_is_forgotten(
    steps: list[tuple[Caller, str, bool]], places: int
) -> None:
    async def run(turns: FairTurns) -> None:
        async with trio.open_nursery() as nursery:
            callers = Callers(turns, nursery)
            holds = dict[str, Caller]()
            for number, (caller, line, leaves) in enumerate(steps):
                here = [name for name in callers.began if name in holds]
                if leaves and here:
                    await callers.leave(here[0])
                    del holds[here[0]]
                else:
                    await callers.ask(str(number), caller, line)
                    holds[str(number)] = caller
                here = [name for name in callers.began if name in holds]
                assert turns.held == len(here) <= places
                assert turns.waiting == len(holds) - len(here)
                if turns.waiting and turns.held < places:
                    free = places - turns.held
                    waiting = {caller for name, caller in holds.items() if name not in here}
                    assert all(sum(holds[name] == each for name in here) >= free for each in waiting)
            while holds:
                name = next(name for name in callers.began if name in holds)
                await callers.leave(name)
                del holds[name]
            assert (turns.held, turns.waiting) == (0, 0)

    run_with: Callable[..., None] = trio.run
    run_with(run, FairTurns(places, held=places, stalled_seconds=STALLED_SECONDS))


async def test_two_tasks_of_a_holder_may_hand_over_at_once(autojump_clock: object) -> None:
    """It stalls as long as either of them does, and what one of them got rid of counts."""
    async with trio.open_nursery() as nursery:
        callers = Callers(turns_of(1), nursery)
        ended: list[float] = []

        async def hold() -> None:
            try:
                async with callers.turns.hold(A) as turn, trio.open_nursery() as tasks:
                    tasks.start_soon(hand_over, turn, 5.0)
                    tasks.start_soon(hand_over, turn, 1e6)
            except StalledError:
                ended.append(trio.current_time())

        async def hand_over(turn: Turn, seconds: float) -> None:
            with turn.handing_over():
                await trio.sleep(seconds)

        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await callers.ask("waits", A)
        await trio.sleep(2 * STALLED_SECONDS)
        expected = STALLED_SECONDS + TAKEN_EARNS_SECONDS
        assert ended[0] - began == pytest.approx(expected, abs=2 * PARKED_SECONDS)
        callers.stop()
