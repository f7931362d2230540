"""Which task runs next, which machine stands still, and what the time is: all from the seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio

from gossipnode.sim.world import scheduler as scheduling
from gossipnode.sim.world.scheduler import (
    MACHINE,
    Scheduler,
    VirtualClock,
    seeded_scheduler,
)

Work = Callable[[Scheduler, trio.Nursery], Awaitable[None]]


def simulate(work: Work, seed: int = 0, stuck: list[str] | None = None) -> VirtualClock:
    """Run `work` beside a scheduler of this seed. Why it got stuck, if it did, is put into `stuck`."""
    clock = VirtualClock()

    async def main() -> None:
        scheduler = seeded_scheduler(random.Random(seed), clock)
        async with trio.open_nursery() as nursery:

            def give_up(reason: str) -> None:
                assert stuck is not None, reason
                stuck.append(reason)
                nursery.cancel_scope.cancel()

            clock.on_stuck = give_up
            nursery.start_soon(scheduler.run)
            async with trio.open_nursery() as working:
                await work(scheduler, working)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)
    return clock


def order_of(seed: int) -> list[int]:
    order: list[int] = []

    async def take_turns(number: int) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async def work(_: Scheduler, nursery: trio.Nursery) -> None:
        for number in range(6):
            nursery.start_soon(take_turns, number)

    simulate(work, seed)
    return order


def test_the_seed_decides_the_order_of_tasks() -> None:
    assert order_of(1) == order_of(1)
    assert len({tuple(order_of(seed)) for seed in range(20)}) == 20


def test_what_is_woken_at_once_runs_in_the_order_of_the_seed_and_not_of_a_set() -> None:
    def woken(seed: int) -> list[int]:
        order: list[int] = []
        event = trio.Event()

        async def wait(number: int) -> None:
            await event.wait()
            order.append(number)

        async def work(_: Scheduler, nursery: trio.Nursery) -> None:
            for number in range(30):
                nursery.start_soon(wait, number)
            await trio.sleep(1)
            event.set()

        simulate(work, seed)
        return order

    assert [woken(3) for _ in range(5)] == [woken(3)] * 5
    assert woken(3) != woken(4)


def test_time_jumps_to_the_next_deadline_when_nothing_is_left_to_do() -> None:
    seen: list[float] = []

    async def work(_: Scheduler, nursery: trio.Nursery) -> None:
        for seconds in (7200.0, 0.5, 60.0):

            async def sleep(seconds: float = seconds) -> None:
                await trio.sleep(seconds)
                seen.append(trio.current_time())

            nursery.start_soon(sleep)

    assert simulate(work).now == 7200.0
    assert seen == [0.5, 60.0, 7200.0]


async def ticks(seen: list[float], machine: str, count: int = 10) -> None:
    MACHINE.set(machine)
    for _ in range(count):
        await trio.sleep(1)
        seen.append(trio.current_time())


def test_a_machine_that_stands_still_does_nothing_until_it_goes_on() -> None:
    a: list[float] = []
    b: list[float] = []

    async def work(scheduler: Scheduler, nursery: trio.Nursery) -> None:
        nursery.start_soon(ticks, a, "a")
        nursery.start_soon(ticks, b, "b")
        await trio.sleep(2.5)
        scheduler.stop("a")
        assert (scheduler.stops("a"), scheduler.stops("b")) == (True, False)
        await trio.sleep(5)
        scheduler.go_on("a")

    simulate(work)
    assert b == [float(second) for second in range(1, 11)]
    assert a == [1.0, 2.0, 7.5, 8.5, 9.5, 10.5, 11.5, 12.5, 13.5, 14.5]


def test_a_slow_machine_has_steps_that_take_long_and_nobody_waits_for_it() -> None:
    slow: list[float] = []
    fast: list[float] = []

    async def work(scheduler: Scheduler, nursery: trio.Nursery) -> None:
        scheduler.slow("slow", 1.5)
        nursery.start_soon(ticks, slow, "slow", 200)
        nursery.start_soon(ticks, fast, "fast", 200)

    simulate(work)
    assert fast == [float(second) for second in range(1, 201)]
    assert 201 < slow[-1] < 230


def test_a_machine_that_is_slow_no_more_runs_at_once() -> None:
    seen: list[float] = []

    async def work(scheduler: Scheduler, nursery: trio.Nursery) -> None:
        scheduler.slow("a", 1000.0)
        nursery.start_soon(ticks, seen, "a", 100)
        await trio.sleep(50)
        scheduler.slow("a", 0)

    assert simulate(work).now < 150


def test_steps_are_counted_by_machine() -> None:
    counted: dict[str, int] = {}

    async def work(scheduler: Scheduler, nursery: trio.Nursery) -> None:
        nursery.start_soon(ticks, [], "a", 30)
        nursery.start_soon(ticks, [], "b", 3)
        await trio.sleep(0.5)
        assert (scheduler.tasks_of("a"), scheduler.tasks_of("c")) == (1, 0)
        steps = scheduler.count_steps()
        await trio.sleep(20)
        counted.update(steps)

    simulate(work)
    assert (counted["a"], counted["b"]) == (20, 3)


def test_tasks_that_run_while_time_stands_still_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "STEPS_AT_ONE_TIME_MAX", 500)

    async def spin(_: Scheduler, __: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    stuck: list[str] = []
    simulate(spin, stuck=stuck)
    assert len(stuck) == 1
    assert stuck[0].startswith("time stands still at 0.000 s: ")
    assert "spin" in stuck[0]


def test_a_run_in_which_nothing_can_happen_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "OUTSIDE_WAITS_MAX", 2)
    monkeypatch.setattr(scheduling, "OUTSIDE_WAIT_SECONDS", 0.0)

    async def wait(_: Scheduler, __: trio.Nursery) -> None:
        await trio.Event().wait()

    stuck: list[str] = []
    simulate(wait, stuck=stuck)
    assert stuck == ["every task waits for another one, and no deadline is left"]
