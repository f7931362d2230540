"""The wall clocks of machines follow from virtual time, each wrong in its own way."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from gossipnode.sim.world.clocks import DAY_ONE, Clocks

SECOND = 1_000_000_000


async def test_a_clock_is_right_at_first(autojump_clock: trio.testing.MockClock) -> None:
    clock = Clocks().wall_clock("a")
    start = trio.current_time()
    first = clock()
    assert first == DAY_ONE + int(start * SECOND)
    assert clock() == first, "one instant, one value"
    await trio.sleep(2.5)
    assert clock() - first == pytest.approx(2.5 * SECOND, abs=2)


async def test_each_machine_has_its_own(autojump_clock: trio.testing.MockClock) -> None:
    clocks = Clocks()
    one, other = clocks.wall_clock("a"), clocks.wall_clock("b")
    clocks.skew("a", 3)
    assert one() - other() == 3 * SECOND
    assert clocks.wall_clock("a")() == one()


async def test_a_skew_says_where_a_clock_stands_and_a_jump_moves_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clocks = Clocks()
    clock, right = clocks.wall_clock("a"), clocks.wall_clock("b")
    clocks.jump("a", 5)
    clocks.jump("a", -0.5)
    assert clock() - right() == 4.5 * SECOND
    clocks.skew("a", -2)
    assert clock() - right() == -2 * SECOND
    clocks.right("a")
    assert clock() == right()


async def test_a_drift_begins_when_it_is_set(autojump_clock: trio.testing.MockClock) -> None:
    clocks = Clocks()
    clock, right = clocks.wall_clock("a"), clocks.wall_clock("b")
    await trio.sleep(1000)
    clocks.drift("a", 100)
    assert clock() == right()
    await trio.sleep(1000)
    assert clock() - right() == pytest.approx(0.1 * SECOND, abs=2)
    clocks.drift("a", -200)
    assert clock() - right() == pytest.approx(0.1 * SECOND, abs=2)
    await trio.sleep(1000)
    assert clock() - right() == pytest.approx(-0.1 * SECOND, abs=4)


async def test_a_clock_drifts_on_after_a_jump_and_not_once_it_is_right(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clocks = Clocks()
    clock, right = clocks.wall_clock("a"), clocks.wall_clock("b")
    clocks.drift("a", 1000)
    await trio.sleep(10)
    clocks.jump("a", 1)
    await trio.sleep(10)
    assert clock() - right() == pytest.approx(1.02 * SECOND, abs=4)
    clocks.skew("a", 0)
    await trio.sleep(10)
    assert clock() - right() == pytest.approx(0.01 * SECOND, abs=2)
    clocks.right("a")
    await trio.sleep(10)
    assert clock() == right()


async def test_a_clock_is_wrong_before_anybody_reads_it(autojump_clock: trio.testing.MockClock) -> None:
    clocks = Clocks()
    clocks.skew("a", 60)
    assert clocks.wall_clock("a")() - clocks.wall_clock("b")() == 60 * SECOND


async def test_no_clock_is_set_before_1970(autojump_clock: trio.testing.MockClock) -> None:
    clocks = Clocks()
    clocks.jump("a", -1e10)
    assert clocks.wall_clock("a")() == 0


async def test_no_clock_runs_backwards(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(ValueError, match="does not run"):
        Clocks().drift("a", -1_000_000)
