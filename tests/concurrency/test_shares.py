"""The rule of shares: no caller takes all, and the next one always finds room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.concurrency.shares import Caller, Shares

A, B, MEMBER = Caller("a"), Caller("b"), Caller("m", member=True)


def _take_all(shares: Shares, caller: Caller) -> int:
    while shares.may_take(caller):
        shares.take(caller)
    return shares.held_by(caller)


def test_a_caller_alone_gets_half() -> None:
    assert _take_all(Shares(512), A) == 256


def test_the_next_caller_gets_half_of_what_is_left() -> None:
    shares = Shares(512)
    assert [_take_all(shares, Caller(name)) for name in "abc"] == [256, 128, 64]


@given(st.integers(1, 300))
def test_there_is_room_for_the_next_caller_as_long_as_anything_is_free(capacity: int) -> None:
    shares = Shares(capacity)
    callers = 0
    while shares.free_for(A):
        assert _take_all(shares, Caller(f"caller {callers}")) >= 1
        callers += 1
    assert callers >= min(capacity, 2)
    assert shares.held == capacity


def test_what_is_kept_is_for_members_alone() -> None:
    shares = Shares(8, kept=4)
    callers = 0
    while shares.free_for(A):
        _take_all(shares, Caller(f"stranger {callers}"))
        callers += 1
    assert shares.held == 4
    assert not shares.may_take(A)
    assert _take_all(shares, MEMBER) == 2


def test_what_members_hold_counts_as_a_part_of_what_is_kept_for_them() -> None:
    shares = Shares(8, kept=4)
    shares.take(MEMBER, 3)
    assert (shares.free_for(A), shares.free_for(MEMBER)) == (4, 5)
    shares.give_back(MEMBER, 3)
    assert (shares.free_for(A), shares.free_for(MEMBER)) == (4, 8)


def test_one_unit_goes_to_whoever_comes_first() -> None:
    shares = Shares(1)
    shares.take(A)
    assert not shares.may_take(B)
    shares.give_back(A)
    assert shares.may_take(B)


def test_what_is_given_back_is_free_again_and_the_caller_is_forgotten() -> None:
    shares = Shares(100)
    shares.take(A, 30)
    shares.take(B, 40)
    shares.give_back(A, 10)
    assert shares.callers() == [(B, 40), (A, 20)]
    shares.give_back(A, 20)
    shares.give_back(B, 40)
    assert (shares.held, shares.free_for(A), shares.callers()) == (0, 100, [])


def test_more_than_may_be_held_leaves_nothing_free_and_no_less() -> None:
    shares = Shares(10)
    shares.take(A, 15)
    assert shares.free_for(A) == 0
    assert not shares.may_take(B)
    assert shares.may_take(B, 0)


@pytest.mark.parametrize(("capacity", "kept"), [(0, 0), (4, 4), (4, -1)])
def test_something_must_be_left_for_strangers(capacity: int, kept: int) -> None:
    with pytest.raises(ValueError, match="cannot be kept"):
        Shares(capacity, kept=kept)
