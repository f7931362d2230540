"""When rounds start by themselves: jitter, and a wall clock that is set while the scheduler sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import trio

from gossipnode.node.repair.schedule import (
    SCHEDULE_JITTER_MAX_SECONDS,
    SCHEDULE_JITTER_PART,
    Schedule,
    ScheduleMemory,
    run_schedule,
    utc,
)
from tests.node.support import memory_store

SECOND = 1_000_000_000
MIDNIGHT = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * SECOND


class SettableClock:
    """The wall clock: Trio's, and how far it was set away from it."""

    def __init__(self, offset_seconds: float = 0.0) -> None:
        self.offset_seconds = offset_seconds

    def __call__(self) -> int:
        return MIDNIGHT + int((trio.current_time() + self.offset_seconds) * SECOND)


async def starts(
    nursery: trio.Nursery,
    expression: str,
    clock: SettableClock,
    seed: int = 0,
    then: Callable[[], None] = lambda: None,
    done: datetime | None = None,
) -> list[datetime]:
    """The wall clock's moments at which a schedule starts something, as they come."""
    found: list[datetime] = []

    async def start(_due: datetime) -> None:
        found.append(utc(clock()))
        then()
        await trio.lowlevel.checkpoint()

    async def run() -> None:
        await run_schedule(
            Schedule(expression),
            wall_clock=clock,
            rng=random.Random(seed),
            start=start,
            done=done or utc(clock()),
        )

    nursery.start_soon(run)
    return found


@pytest.mark.parametrize(
    ("expression", "period", "jitter"),
    [
        ("0 * * * *", 3600, SCHEDULE_JITTER_MAX_SECONDS),
        ("*/10 * * * *", 600, SCHEDULE_JITTER_PART * 600),
        ("* * * * *", 60, SCHEDULE_JITTER_PART * 60),
    ],
)
async def test_rounds_start_on_time_and_late_by_at_most_the_jitter(
    expression: str, period: int, jitter: float, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, expression, SettableClock(), seed=period)
        await trio.sleep(20 * period + jitter)
        nursery.cancel_scope.cancel()
    midnight = utc(MIDNIGHT)
    late = [
        (moment - midnight - timedelta(seconds=period * number)).total_seconds()
        for number, moment in enumerate(found, 1)
    ]
    assert len(found) == 20
    assert all(0 <= seconds <= jitter + 0.001 for seconds in late)
    assert max(late) - min(late) > jitter / 4


async def test_a_time_that_was_missed_is_made_good_after_the_start(autojump_clock: object) -> None:
    clock = SettableClock(offset_seconds=5.5 * 3600)
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", clock, done=utc(MIDNIGHT) + timedelta(hours=3))
        await trio.sleep(SCHEDULE_JITTER_MAX_SECONDS + 1)
        assert [moment.hour for moment in found] == [5]
        await trio.sleep(3600)
        assert [moment.hour for moment in found] == [5, 6]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("done", [timedelta(hours=5), timedelta(hours=5, minutes=10), timedelta(days=900)])
async def test_nothing_is_made_good_that_was_done(done: timedelta, autojump_clock: object) -> None:
    clock = SettableClock(offset_seconds=5.5 * 3600)
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", clock, done=utc(MIDNIGHT) + done)
        await trio.sleep(1700)
        assert found == []
        nursery.cancel_scope.cancel()


async def test_what_is_done_is_remembered_over_starts() -> None:
    store = memory_store()
    first, later = utc(MIDNIGHT), utc(MIDNIGHT) + timedelta(hours=7)
    assert await ScheduleMemory(store).done(first) == first
    assert await ScheduleMemory(store).done(later) == first
    await ScheduleMemory(store).keep(later)
    assert await ScheduleMemory(store).done(first) == later
    store.crash()
    # The store that has ended says so elsewhere.
    await ScheduleMemory(store).keep(later)


async def test_a_day_of_hourly_rounds(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", SettableClock())
        await trio.sleep(24 * 3600 + 301)
        nursery.cancel_scope.cancel()
    assert [(moment.day, moment.hour) for moment in found] == [(1, hour) for hour in range(1, 24)] + [(2, 0)]


async def test_times_that_pass_while_the_clock_is_set_forward_are_made_up_for_once(
    autojump_clock: object,
) -> None:
    clock = SettableClock()
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", clock)
        await trio.sleep(60)
        clock.offset_seconds = 5.5 * 3600
        await trio.sleep(1200)
        assert [moment.hour for moment in found] == [5]
        await trio.sleep(1800)
        assert [moment.hour for moment in found] == [5, 6]
        nursery.cancel_scope.cancel()


async def test_a_clock_set_back_repeats_nothing(autojump_clock: object) -> None:
    clock = SettableClock()
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", clock)
        await trio.sleep(2.5 * 3600)
        assert [moment.hour for moment in found] == [1, 2]
        clock.offset_seconds = -2 * 3600
        await trio.sleep(2.3 * 3600)
        assert [moment.hour for moment in found] == [1, 2]
        await trio.sleep(0.4 * 3600)
        assert [moment.hour for moment in found] == [1, 2, 3]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("ahead", [timedelta(days=3650), timedelta(days=3)])
async def test_a_clock_that_was_far_ahead_stops_no_later_round(
    ahead: timedelta, autojump_clock: object
) -> None:
    clock = SettableClock()
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 2 * * *", clock)
        await trio.sleep(60)
        clock.offset_seconds = ahead.total_seconds()
        await trio.sleep(3600)
        clock.offset_seconds = 0
        found.clear()
        await trio.sleep(3 * 24 * 3600)
        assert [(moment - utc(MIDNIGHT)).days for moment in found] == [0, 1, 2]
        nursery.cancel_scope.cancel()


async def test_a_clock_that_was_hours_ahead_stops_no_round_of_every_half_hour(autojump_clock: object) -> None:
    clock = SettableClock()
    clock.offset_seconds = 5 * 3600
    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "*/30 * * * *", clock)
        await trio.sleep(3660)
        clock.offset_seconds = 0
        found.clear()
        await trio.sleep(2 * 3600 - 120)  # to 02:59
        assert [(moment - utc(MIDNIGHT)).seconds // 1800 for moment in found] == [3, 4, 5]
        nursery.cancel_scope.cancel()


async def test_a_clock_set_back_at_the_very_start_of_a_round_repeats_nothing(autojump_clock: object) -> None:
    clock = SettableClock()

    def set_back() -> None:
        clock.offset_seconds = -1800

    async with trio.open_nursery() as nursery:
        found = await starts(nursery, "0 * * * *", clock, then=set_back)
        await trio.sleep(4.7 * 3600)
        assert [moment.hour for moment in found] == [1, 2, 3, 4]
        nursery.cancel_scope.cancel()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "moment", "minutes"),
    [
        ("0 2 * * *", "2026-03-01T02:03:00", 24 * 60),
        ("*/30 * * * *", "2026-03-01T02:03:00", 30),
        # Three in a row, then a pause: what counts is how long ago the round before was due.
        ("0,10,20 * * * *", "2026-03-01T02:10:30", 10),
        ("0,10,20 * * * *", "2026-03-01T02:20:30", 10),
        ("0,10,20 * * * *", "2026-03-01T02:00:30", 40),
    ],
)
def test_the_interval_before_a_start(expression: str, moment: str, minutes: int) -> None:
    assert Schedule(expression).last_interval_seconds(at(moment)) == minutes * 60


def test_the_interval_behind_a_moment() -> None:
    assert Schedule("0,10,20 * * * *").interval_seconds(at("2026-03-01T02:10:30")) == 40 * 60
    assert Schedule("0 2 * * *").next_after(at("2026-03-01T02:00:00")) == at("2026-03-02T02:00:00")


def test_a_wall_clock_as_a_moment() -> None:
    assert utc(MIDNIGHT) == at("2026-03-01")
    assert utc(1_500) == datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
