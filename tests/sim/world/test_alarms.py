"""Calls that are due at a time, whoever rings them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from math import inf

import pytest
import trio
from trio.testing import MockClock

from gossipnode.concurrency.loop_pulse import LoopPulse
from gossipnode.sim.world.alarms import Alarms, alarms_of_run
from gossipnode.sim.world.scheduler import MACHINE, VirtualClock, seeded_scheduler

CLOCKS: list[Callable[[], trio.abc.Clock]] = [lambda: MockClock(autojump_threshold=0), VirtualClock]


def test_what_is_due_is_called_by_time_and_then_in_the_order_in_which_it_was_asked_for() -> None:
    alarms, called = Alarms(), list[str]()
    for time, name in ((2.0, "later"), (1.0, "first"), (3.0, "not yet"), (1.0, "second")):
        alarms.at(time, partial(called.append, name))
    assert alarms.next_at == 1.0
    alarms.ring(0.5)
    assert called == []
    alarms.ring(2.0)
    assert called == ["first", "second", "later"]
    assert alarms.next_at == 3.0
    alarms.ring(5.0)
    assert alarms.next_at == inf


def test_a_call_may_ask_for_another_one_that_is_due_already() -> None:
    alarms, called = Alarms(), list[str]()
    alarms.at(1.0, lambda: alarms.at(1.0, lambda: called.append("second")))
    alarms.ring(1.0)
    assert called == ["second"]


@pytest.mark.parametrize("clock", CLOCKS)
def test_calls_come_at_their_time_among_tasks_that_sleep(clock: Callable[[], trio.abc.Clock]) -> None:
    happened: list[tuple[str, float]] = []

    async def run() -> None:
        alarms, begun = alarms_of_run(), trio.current_time()

        def note(what: str) -> None:
            happened.append((what, trio.current_time() - begun))

        def set_one(seconds: float, what: str) -> None:
            alarms.at(begun + seconds, partial(note, what))

        set_one(5.0, "last")
        set_one(1.0, "first")
        alarms.at(begun + 1.0, partial(set_one, 1.5, "set by another"))
        for _ in range(3):
            await trio.sleep(1.25)
            note("slept")
        set_one(4.0, "set while a later one is due")
        await trio.sleep(2)

    trio.run(run, clock=clock())
    assert happened == [
        ("first", 1.0),
        ("slept", 1.25),
        ("set by another", 1.5),
        ("slept", 2.5),
        ("slept", 3.75),
        ("set while a later one is due", 4.0),
        ("last", 5.0),
    ]


def test_a_clock_of_ours_rings_the_alarms_of_all_who_ask() -> None:
    async def run() -> bool:
        return alarms_of_run() is alarms_of_run()

    assert trio.run(run, clock=VirtualClock())
    assert not trio.run(run, clock=MockClock(autojump_threshold=0))


def test_a_task_that_an_alarm_wakes_runs_at_its_time() -> None:
    async def run() -> float:
        woken = trio.Event()
        alarms_of_run().at(60.0, woken.set)
        await woken.wait()
        return trio.current_time()

    assert trio.run(run, clock=VirtualClock()) == 60.0


@pytest.mark.parametrize("clock", CLOCKS)
def test_who_sleeps_by_alarms_wakes_at_its_time_or_is_cancelled(clock: Callable[[], trio.abc.Clock]) -> None:
    async def run() -> list[float]:
        alarms, begun = alarms_of_run(), trio.current_time()
        times: list[float] = []
        await alarms.sleep_until(begun + 2.0)
        times.append(trio.current_time() - begun)
        with trio.move_on_at(begun + 3.0):
            await alarms.sleep_until(begun + 5.0)
        times.append(trio.current_time() - begun)
        await alarms.sleep_until(begun + 1.0)
        times.append(trio.current_time() - begun)
        await trio.sleep_until(begun + 6.0)
        return times

    assert trio.run(run, clock=clock()) == [2.0, 3.0, 3.0]


def test_a_machine_that_stands_still_is_not_woken_by_its_alarm() -> None:
    """A node notices that it stood still by an alarm that it has slept through."""

    async def run() -> float:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, VirtualClock)
        scheduler = seeded_scheduler(random.Random(1), clock)
        pulse = LoopPulse(alarms_of_run().sleep_until)

        async def on_machine() -> None:
            MACHINE.set("a")
            await pulse.run()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_machine)
            await trio.sleep(10.0)
            assert pulse.stalled_seconds() == 0
            scheduler.stop("a")
            await trio.sleep(5.0)
            scheduler.go_on("a")
            await trio.lowlevel.checkpoint()
            stalled = pulse.stalled_seconds()
            nursery.cancel_scope.cancel()
        return stalled

    assert 5.0 <= trio.run(run, clock=VirtualClock()) <= 5.5
