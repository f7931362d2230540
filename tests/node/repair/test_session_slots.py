"""Places for sessions by purpose, and the share of one caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.concurrency.shares import Caller
from gossipnode.node.repair.session_slots import (
    CLUSTER_PLACES,
    UNSAID_PLACES,
    Purpose,
    SessionPlace,
    SessionSlots,
    places_for,
)

A, B, C = Caller("a"), Caller("b"), Caller("c")
TAKEN = "all session slots are taken: try again"


def take(slots: SessionSlots, caller: Caller, purpose: Purpose, times: int) -> list[SessionPlace]:
    places = [slots.admit(caller, purpose) for _ in range(times)]
    assert all(isinstance(place, SessionPlace) for place in places), places
    return [place for place in places if isinstance(place, SessionPlace)]


def all_that(slots: SessionSlots, caller: Caller, purpose: Purpose) -> int:
    """How many places a caller gets when it asks again and again."""
    taken = 0
    while isinstance(slots.admit(caller, purpose), SessionPlace):
        taken += 1
    return taken


@pytest.mark.parametrize("max_sessions", [1, 2, 3, 8, 1024])
def test_a_peer_alone_has_as_many_sessions_as_it_may_open(max_sessions: int) -> None:
    slots = SessionSlots(max_sessions)
    assert all_that(slots, A, Purpose.ROUND) == max_sessions
    assert slots.admit(A, Purpose.ROUND) == (
        f"a has {max_sessions} session slots, the most for one caller: end a session first"
    )


def test_there_is_room_for_the_next_caller_whatever_the_others_have_taken() -> None:
    slots = SessionSlots(8)
    assert [all_that(slots, Caller(name), Purpose.ROUND) for name in "abcde"] == [8, 4, 2, 1, 1]
    assert slots.admit(Caller("f"), Purpose.ROUND) == TAKEN


def test_a_place_that_is_given_back_is_free_for_any_caller() -> None:
    slots = SessionSlots(1)
    (place,) = take(slots, A, Purpose.ROUND, 1)
    take(slots, B, Purpose.ROUND, 1)
    assert slots.admit(C, Purpose.ROUND) == TAKEN
    slots.free(place)
    take(slots, C, Purpose.ROUND, 1)


def test_streams_that_say_nothing_take_no_place_of_a_session() -> None:
    slots = SessionSlots(2)
    assert all_that(slots, A, Purpose.UNSAID) == UNSAID_PLACES // 2
    take(slots, B, Purpose.UNSAID, 1)
    take(slots, A, Purpose.ROUND, 2)
    take(slots, B, Purpose.CLUSTER, CLUSTER_PLACES // 2)


def test_what_the_cluster_needs_does_not_wait_for_rounds() -> None:
    slots = SessionSlots(2)
    for caller in (A, B, C):
        all_that(slots, caller, Purpose.ROUND)
    take(slots, A, Purpose.CLUSTER, CLUSTER_PLACES // 2)
    take(slots, B, Purpose.CLUSTER, 1)
    take(slots, C, Purpose.CLUSTER, 1)


def test_what_the_cluster_needs_may_take_the_places_of_rounds_too() -> None:
    slots = SessionSlots(2)
    places = take(slots, A, Purpose.CLUSTER, CLUSTER_PLACES // 2 + 2)
    assert [place.purpose for place in places[-2:]] == [Purpose.ROUND] * 2
    assert "the most for one caller" in str(slots.admit(A, Purpose.CLUSTER))
    for place in places:
        slots.free(place)
    take(slots, A, Purpose.ROUND, 2)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(Purpose), st.booleans()), max_size=200))
def test_always_within_the_bounds_and_all_free_in_the_end(
    steps: list[tuple[Caller, Purpose, bool]],
) -> None:
    slots = SessionSlots(4)
    held: list[SessionPlace] = []
    for caller, purpose, give_back in steps:
        if give_back and held:
            slots.free(held.pop(0))
            continue
        place = slots.admit(caller, purpose)
        if isinstance(place, SessionPlace):
            held.append(place)
        of_one = [each for each in held if each.caller == caller]
        assert sum(each.purpose is Purpose.ROUND for each in of_one) <= 4
        assert sum(each.purpose is Purpose.ROUND for each in held) <= places_for(4)
        assert sum(each.purpose is Purpose.CLUSTER for each in of_one) <= CLUSTER_PLACES // 2
        assert sum(each.purpose is Purpose.UNSAID for each in held) <= UNSAID_PLACES
    for place in held:
        slots.free(place)
    take(slots, Caller("d"), Purpose.ROUND, 4)
