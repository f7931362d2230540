"""Places for sessions by purpose, and the share of one caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.node.repair.session_slots import (
    CLUSTER_PLACES,
    CLUSTER_PLACES_PER_CALLER,
    UNSAID_PLACES,
    UNSAID_PLACES_PER_CALLER,
    Purpose,
    SessionPlace,
    SessionSlots,
    caller_of,
    places_for,
)


def take(slots: SessionSlots, caller: str, purpose: Purpose, times: int) -> list[SessionPlace]:
    places = [slots.admit(caller, purpose) for _ in range(times)]
    assert all(isinstance(place, SessionPlace) for place in places), places
    return [place for place in places if isinstance(place, SessionPlace)]


@pytest.mark.parametrize("max_sessions", [1, 2, 3, 8, 1024])
def test_a_peer_alone_has_as_many_sessions_as_it_may_open(max_sessions: int) -> None:
    slots = SessionSlots(max_sessions)
    take(slots, "a", Purpose.ROUND, max_sessions)


@pytest.mark.parametrize("max_sessions", [2, 3, 8, 1024])
def test_one_caller_never_has_all_places(max_sessions: int) -> None:
    slots = SessionSlots(max_sessions)
    take(slots, "a", Purpose.ROUND, max_sessions)
    refusal = slots.admit("a", Purpose.ROUND)
    assert refusal == f"a has {max_sessions} session slots, the most for one caller: end a session first"
    take(slots, "b", Purpose.ROUND, places_for(max_sessions) - max_sessions)
    assert slots.admit("c", Purpose.ROUND) == "all session slots are taken: try again"


def test_a_place_that_is_given_back_is_free_for_any_caller() -> None:
    slots = SessionSlots(1)
    (place,) = take(slots, "a", Purpose.ROUND, 1)
    assert slots.admit("b", Purpose.ROUND) == "all session slots are taken: try again"
    slots.free(place)
    take(slots, "b", Purpose.ROUND, 1)


def test_streams_that_say_nothing_take_no_place_of_a_session() -> None:
    slots = SessionSlots(2)
    take(slots, "silent", Purpose.UNSAID, UNSAID_PLACES_PER_CALLER)
    assert "the most for one caller" in str(slots.admit("silent", Purpose.UNSAID))
    take(slots, "a", Purpose.UNSAID, 1)
    take(slots, "silent", Purpose.ROUND, 2)
    take(slots, "a", Purpose.CLUSTER, CLUSTER_PLACES_PER_CALLER)


def test_what_the_cluster_needs_does_not_wait_for_rounds() -> None:
    slots = SessionSlots(2)
    take(slots, "a", Purpose.ROUND, 2)
    take(slots, "b", Purpose.ROUND, 1)
    take(slots, "a", Purpose.CLUSTER, CLUSTER_PLACES_PER_CALLER)
    take(slots, "b", Purpose.CLUSTER, CLUSTER_PLACES - CLUSTER_PLACES_PER_CALLER)
    assert slots.admit("c", Purpose.CLUSTER) == "all session slots are taken: try again"


def test_what_the_cluster_needs_may_take_the_places_of_rounds_too() -> None:
    slots = SessionSlots(2)
    places = take(slots, "a", Purpose.CLUSTER, CLUSTER_PLACES_PER_CALLER + 2)
    assert [place.purpose for place in places[-2:]] == [Purpose.ROUND] * 2
    assert "the most for one caller" in str(slots.admit("a", Purpose.CLUSTER))
    for place in places:
        slots.free(place)
    take(slots, "a", Purpose.ROUND, 2)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(Purpose), st.booleans()), max_size=200))
def test_always_within_the_bounds_and_all_free_in_the_end(
    steps: list[tuple[str, Purpose, bool]],
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
        assert sum(each.purpose is Purpose.CLUSTER for each in of_one) <= CLUSTER_PLACES_PER_CALLER
        assert sum(each.purpose is Purpose.UNSAID for each in held) <= UNSAID_PLACES
    for place in held:
        slots.free(place)
    take(slots, "d", Purpose.ROUND, 4)


@pytest.mark.parametrize(
    ("names", "said", "address", "caller"),
    [
        (("a", "a.example"), "a", "10.0.0.1:4711", "a"),
        (("a", "b"), "b", "10.0.0.1:4711", "b"),
        (("b", "a"), "mallory", "10.0.0.1:4711", "a b"),
        (("a",), "", "10.0.0.1:4711", "a"),
        ((), "a", "10.0.0.1:4711", "10.0.0.1"),
        ((), "", "[2001:db8::1]:4711", "[2001:db8::1]"),
        ((), "", "unix", "unix"),
    ],
)
def test_a_caller_is_told_by_its_certificate_or_its_address(
    names: tuple[str, ...], said: str, address: str, caller: str
) -> None:
    assert caller_of(names, said, address) == caller
