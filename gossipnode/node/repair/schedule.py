"""When rounds start by themselves: a cron schedule in UTC, with jitter.

What the schedule asked for while a node was down is made good when it starts again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

import structlog
import trio
from cronsim import CronSim

from gossipnode.store.interface import Store, StoreError

SCHEDULE_JITTER_PART = 0.1
SCHEDULE_JITTER_MAX_SECONDS = 300.0
"""A scheduled round starts late by up to this part of the interval: not all nodes should start at once."""

CLOCK_LOOK_SECONDS = 600.0
"""The scheduler looks at the wall clock at least this often: it may be set while we sleep."""

SET_BACK_INTERVALS = 2
SET_BACK_MAX = timedelta(days=1)
"""A clock that is set back by up to this number of intervals, and by a day at most, repeats no time. One that
was further ahead was wrong: what it made due says nothing, and the next time is the next one from now."""


SCHEDULE_NOTE = "schedule"


class Schedule:
    """A cron expression, in UTC."""

    def __init__(self, expression: str) -> None:
        """The expression was checked with the configuration."""
        self._expression = expression

    def next_after(self, moment: datetime) -> datetime:
        """The first time after `moment`."""
        return next(CronSim(self._expression, moment))

    def still_due(self, due: datetime, now: datetime) -> datetime:
        """`due`, or the next time from `now` if the clock that made it due was set back too far."""
        from_now = self.next_after(now)
        intervals = timedelta(seconds=SET_BACK_INTERVALS * self.interval_seconds(now))
        return from_now if due - from_now > min(SET_BACK_MAX, intervals) else due

    def first_due(self, done: datetime, now: datetime) -> datetime:
        """The time that is due at a start: the last before `now`, if that is after `done`, or the next."""
        missed = next(CronSim(self._expression, now, reverse=True))
        return missed if missed > done else self.next_after(now)

    def interval_seconds(self, moment: datetime) -> float:
        """The seconds between the next two starts after `moment`."""
        times = CronSim(self._expression, moment)
        first = next(times)
        return (next(times) - first).total_seconds()

    def last_interval_seconds(self, moment: datetime) -> float:
        """The seconds between the last two starts before `moment`."""
        times = CronSim(self._expression, moment, reverse=True)
        last = next(times)
        return (last - next(times)).total_seconds()


def utc(wall_clock_ns: int) -> datetime:
    """A wall clock's nanoseconds as a moment in UTC, to the microsecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=wall_clock_ns // 1000)


class ScheduleMemory:
    """Up to which time of the schedule this node has carried its rounds to their end, over all its starts."""

    def __init__(self, store: Store) -> None:
        """Keep it as a note of `store`."""
        self._store = store

    async def done(self, now: datetime) -> datetime:
        """The last time of which all rounds are over. At the first start it is `now`: nothing was missed."""
        note = await self._store.note(SCHEDULE_NOTE)
        if note is not None and note.isdigit():
            return utc(int(note) * 1_000_000_000)
        await self.keep(now)
        return now

    async def keep(self, due: datetime) -> None:
        """Remember that all rounds of a time are over."""
        try:
            seconds = int(due.timestamp())
            await self._store.keep_note(SCHEDULE_NOTE, b"%d" % seconds, numbered=False)
        except StoreError:
            # Then rounds may be started once more than is needed, after the next start.
            return


async def run_schedule(
    schedule: Schedule,
    *,
    wall_clock: Callable[[], int],
    rng: Random,
    start: Callable[[datetime], Awaitable[None]],
    done: datetime,
) -> None:
    """Call `start` with every time of the schedule, each time late by chance. Runs until cancelled.

    The first one is the last time before now, if it is after `done`: its rounds were missed, or lost.

    When the clock is set forward past several times, `start` is called once for all of them. When it is set
    back, no time is repeated, except as `SET_BACK_MAX` says.
    """
    log = structlog.get_logger("gossipnode.schedule")
    due = schedule.first_due(done, utc(wall_clock()))
    while True:
        jitter = (
            min(SCHEDULE_JITTER_MAX_SECONDS, SCHEDULE_JITTER_PART * schedule.interval_seconds(due))
            * rng.random()
        )
        late = max(due, utc(wall_clock())) + timedelta(seconds=jitter)
        log.debug("next scheduled round", at=late.isoformat(timespec="seconds"))
        still_due = await _wait(schedule, due, late, wall_clock)
        if still_due == due:
            await start(due)
            due = schedule.next_after(max(due, utc(wall_clock())))
        else:
            log.warning(
                "the clock was set back: rounds start by what it says now",
                instead_of=due.isoformat(timespec="seconds"),
                at=still_due.isoformat(timespec="seconds"),
            )
            due = still_due


async def _wait(schedule: Schedule, due: datetime, late: datetime, wall_clock: Callable[[], int]) -> datetime:
    """Wait until `late`, or until another time than `due` is due. Gives the time that is due."""
    while (now := utc(wall_clock())) < late:
        still_due = schedule.still_due(due, now)
        if still_due != due:
            return still_due
        # The wall clock may be set while we sleep, and no event tells of that.
        await trio.sleep(min((late - now).total_seconds(), CLOCK_LOOK_SECONDS))
    return due
