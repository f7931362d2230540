"""The clock of a node: stamps near the wall clock, which never repeat."""

from __future__ import annotations

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.node.local.clock import Clock
from tests.node.support import NOW, SECOND, WallClock


def test_a_stamp_is_what_the_wall_clock_says_or_else_the_next_one() -> None:
    wall = WallClock()
    clock = Clock(wall)
    assert [clock.next(), clock.next()] == [NOW, NOW + 1]
    wall.now -= SECOND
    assert clock.next() == NOW + 2
    wall.now = NOW + SECOND
    assert clock.next() == clock.last == clock.now() == NOW + SECOND


def test_a_clock_that_starts_again_goes_on_above_the_stamps_that_were_kept() -> None:
    assert Clock(WallClock(), NOW + 5).next() == NOW + 6
    assert Clock(WallClock(), NOW - 5).next() == NOW


def test_the_stamp_of_a_peer_moves_the_clock_unless_it_lies_too_far_ahead() -> None:
    clock = Clock(WallClock())
    assert clock.saw(NOW + MAX_CLOCK_SKEW_NANOSECONDS)
    assert clock.last == NOW + MAX_CLOCK_SKEW_NANOSECONDS
    assert not clock.saw(NOW + MAX_CLOCK_SKEW_NANOSECONDS + 1)
    assert clock.last == NOW + MAX_CLOCK_SKEW_NANOSECONDS
    assert clock.saw(5)
    assert clock.last == NOW + MAX_CLOCK_SKEW_NANOSECONDS
