from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.model.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.model.version import HybridClock, Version, payload_digest
from tests.core.support import examples, record

SKEW = MAX_CLOCK_SKEW_NANOSECONDS
NOW = 1_800_000_000_000_000_000

small = st.integers(0, 3)
versions = st.builds(Version, small, small, st.binary(max_size=2))


def test_the_skew_is_ten_minutes() -> None:
    assert SKEW == 600 * 10**9


def test_the_digest_is_blake2b_of_32_bytes() -> None:
    assert payload_digest(b"x") == hashlib.blake2b(b"x", digest_size=32).digest()
    assert len(payload_digest(b"")) == 32


def test_the_later_revision_wins_over_everything() -> None:
    assert Version(2, 0, b"") > Version(1, 9, b"zz")


def test_a_delete_wins_over_a_live_record_of_the_same_revision() -> None:
    assert record("x", 5, deleted=1).version > record("x", 5, "zzz").version


def test_the_later_delete_wins_over_the_digest() -> None:
    assert Version(5, 2, b"") > Version(5, 1, b"zz")


def test_the_digest_decides_a_tie() -> None:
    assert Version(5, 0, b"b") > Version(5, 0, b"a")


@pytest.mark.slow
@given(versions, versions, versions)
@examples(100)
def test_join_is_commutative_associative_idempotent_and_total(a: Version, b: Version, c: Version) -> None:
    assert max(a, b) == max(b, a)
    assert max(a, max(b, c)) == max(max(a, b), c)
    assert max(a, a) == a
    assert (a < b) + (b < a) + (a == b) == 1


# The hybrid clock


def test_a_stamp_is_the_wall_clock_when_that_is_ahead() -> None:
    clock = HybridClock()
    assert clock.last == 0
    assert clock.next(NOW) == NOW
    assert clock.last == NOW


def test_a_stamp_is_one_above_the_last_when_the_wall_clock_stands() -> None:
    clock = HybridClock(NOW)
    assert [clock.next(NOW), clock.next(NOW), clock.next(NOW - 1)] == [NOW + 1, NOW + 2, NOW + 3]
    assert clock.last == NOW + 3


def test_a_stamp_is_above_what_it_replaces() -> None:
    clock = HybridClock()
    assert clock.next(NOW, above=NOW) == NOW + 1
    assert clock.next(NOW, above=NOW + 50) == NOW + 51
    assert clock.next(NOW) == NOW + 52
    assert clock.next(NOW + 100, above=NOW + 60) == NOW + 100


def test_a_stamp_at_the_skew_moves_the_clock_and_one_beyond_does_not() -> None:
    clock = HybridClock()
    assert clock.next(NOW, above=NOW + SKEW - 1) == NOW + SKEW
    assert clock.last == NOW + SKEW
    clock = HybridClock()
    assert clock.next(NOW, above=NOW + SKEW) == NOW + SKEW + 1
    assert clock.last == NOW
    assert clock.next(NOW) == NOW + 1


def test_a_seen_stamp_at_the_skew_moves_the_clock_and_one_beyond_does_not() -> None:
    clock = HybridClock(NOW)
    assert clock.saw(NOW + SKEW + 1, NOW) is False
    assert clock.last == NOW
    assert clock.saw(NOW + SKEW, NOW) is True
    assert clock.last == NOW + SKEW


def test_an_old_stamp_seen_does_not_move_the_clock_back() -> None:
    clock = HybridClock(NOW)
    assert clock.saw(NOW - 5, NOW) is True
    assert clock.last == NOW


def test_stamps_do_not_repeat_after_the_wall_clock_was_set_back() -> None:
    """It is set back by more than the allowed skew, so earlier stamps are far ahead of the wall clock."""
    clock = HybridClock()
    first = clock.next(NOW)
    stamps = [clock.next(NOW - 2 * SKEW) for _ in range(3)]
    assert stamps == [first + 1, first + 2, first + 3]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(-3 * SKEW, 3 * SKEW), st.one_of(st.none(), st.integers(-3 * SKEW, 3 * SKEW))),
        max_size=20,
    )
)
@examples(100)
def test_own_stamps_only_go_up_whatever_the_wall_clock_does(
    moves: list[tuple[int, int | None]],
) -> None:
    clock = HybridClock()
    last = 0
    for offset, seen in moves:
        now = NOW + offset
        if seen is not None:
            clock.saw(NOW + seen, now)
        stamp = clock.next(now)
        assert stamp > last
        assert stamp >= now
        last = stamp


@given(st.integers(0, 4 * SKEW), st.integers(0, 4 * SKEW))
@examples(100)
def test_a_stamp_supersedes_a_record_from_any_future(start: int, ahead: int) -> None:
    clock = HybridClock(NOW + start)
    above = NOW + ahead
    assert clock.next(NOW, above=above) > above
    assert clock.last <= max(NOW + start + 1, NOW + SKEW)


def test_the_very_first_stamp_is_one_when_the_clock_shows_nothing() -> None:
    assert HybridClock().next(0) == 1
