"""Which replicas a coordinator asks, from what it believes of each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.tally import Tally
from gossipnode.core.cluster.targets import SearchTargets, Standing, request_targets, search_targets
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import born, place
from tests.core.support import examples

SHARD = ShardId("sw", 0)
LEVELS = (AckLevel.ONE, AckLevel.QUORUM, AckLevel.ALL)
OWN, UNCLEARED, UP, DOWN, FOREIGN, STRANGER = Standing
ASKABLE = {OWN, UP, DOWN}

ages = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1), min_size=1)


def placement(names: str = "abc") -> Placement:
    return place(SHARD, len(names), settled=born(names), members=born(names))


def filling(source: str, joining: str) -> Placement:
    """A placement of one source and one replica that it fills."""
    return Placement(SHARD, (source,), tuple(sorted((source, joining))), frozenset(), 2)


class Case(NamedTuple):
    """A placement, what is believed of its holders, and a level."""

    placement: Placement
    standings: Mapping[str, Standing]
    level: AckLevel


@st.composite
def cases(draw: st.DrawFn) -> Case:
    members = draw(ages)
    settled = draw(st.one_of(st.just(members), ages))
    leaving = draw(st.sets(st.sampled_from(sorted(members)), max_size=len(members) - 1))
    made = place(SHARD, draw(st.integers(1, 4)), settled=settled, members=members, leaving=leaving)
    standings = {name: draw(st.sampled_from([UP, UP, DOWN, FOREIGN, STRANGER])) for name in made.holders}
    own = draw(st.sampled_from([*made.holders, ""])) if made.holders else ""
    if own:
        standings[own] = OWN
    return Case(made, standings, draw(st.sampled_from(LEVELS)))


# Reads and writes


def test_all_that_are_up_are_asked_in_ring_order() -> None:
    tally = Tally(placement(), AckLevel.QUORUM)
    assert request_targets(placement(), tally, {"c": UP, "b": OWN, "a": UP}) == ["a", "b", "c"]
    assert not tally.failures


def test_a_replica_that_is_down_is_left_out_while_there_are_enough_without_it() -> None:
    tally = Tally(placement(), AckLevel.QUORUM)
    assert request_targets(placement(), tally, {"a": DOWN, "b": OWN, "c": UP}) == ["b", "c"]
    assert tally.problem("took it").endswith("; not: a (is down), b (no answer), c (no answer)")


@pytest.mark.parametrize(
    ("level", "standings"),
    [
        (AckLevel.ALL, {"a": DOWN, "b": OWN, "c": UP}),
        (AckLevel.QUORUM, {"a": DOWN, "b": OWN, "c": FOREIGN}),
    ],
)
def test_a_replica_that_is_down_is_asked_last_where_it_is_needed(
    level: AckLevel, standings: dict[str, Standing]
) -> None:
    tally = Tally(placement(), level)
    targets = request_targets(placement(), tally, standings)
    assert targets == [*(name for name in "bc" if standings[name] is not FOREIGN), "a"]
    assert "a" not in tally.failures


def test_those_that_lack_our_services_and_strangers_are_never_asked() -> None:
    tally = Tally(placement(), AckLevel.ALL)
    assert request_targets(placement(), tally, {"a": FOREIGN, "b": STRANGER, "c": OWN}) == ["c"]
    told = "; not: a (no gossipnode), b (no member of this cluster), c (no answer)"
    assert tally.problem("took it").endswith(told)
    assert tally.impossible


@pytest.mark.slow
@examples(300)
@given(cases(), st.booleans())
def test_each_holder_is_asked_or_told_of_and_none_is_avoided_that_is_needed(
    case: Case, reading: bool
) -> None:
    tally = Tally(case.placement, case.level, reading=reading)
    targets = request_targets(case.placement, tally, case.standings)
    assert sorted([*targets, *tally.failures]) == list(case.placement.holders)
    assert all(case.standings[name] in ASKABLE for name in targets)
    downs = {name for name in targets if case.standings[name] is DOWN}
    # Those that are down are asked together, and only where the request needs some of them.
    assert not downs or tally.impossible_without(downs)
    able = Tally(case.placement, case.level, reading=reading)
    for name in case.placement.holders:
        if case.standings[name] not in ASKABLE:
            able.failed(name, "")
    assert tally.impossible == able.impossible


# Searches


def search(
    standings: Mapping[str, Standing],
    level: AckLevel = AckLevel.QUORUM,
    of: Placement | None = None,
    **broken_off: str,
) -> SearchTargets:
    return search_targets(of or placement(), level, standings, broken_off=broken_off)


def test_our_own_copy_comes_first_and_then_the_others_in_ring_order() -> None:
    assert search({"a": UP, "b": OWN, "c": UP}) == (("b", "a", "c"), "")
    assert search({"a": UP, "b": UP, "c": UP}) == (("a", "b", "c"), "")


def test_at_local_our_own_copy_alone_is_searched_if_there_is_one() -> None:
    assert search({"a": UP, "b": OWN, "c": UP}, AckLevel.LOCAL, b="broken off") == (("b",), "")
    assert search({"a": UP, "b": UP, "c": UP}, AckLevel.LOCAL) == ((), "")


def test_at_one_a_single_replica_is_searched() -> None:
    assert search({"a": UP, "b": OWN, "c": UP}, AckLevel.ONE) == (("b",), "")
    assert search({"a": DOWN, "b": UP, "c": UP}, AckLevel.ONE) == (("b",), "")
    assert search({"a": DOWN, "b": DOWN, "c": FOREIGN}, AckLevel.ONE) == (("a",), "")


def test_at_one_a_replica_that_is_being_filled_is_not_searched() -> None:
    for standings in ({"a": UP, "b": OWN}, {"a": DOWN, "b": OWN}):
        assert search(standings, AckLevel.ONE, filling("a", "b")) == (("a",), "")


def test_at_one_the_next_replica_takes_over_from_those_that_broke_off() -> None:
    standings = {"a": UP, "b": OWN, "c": UP}
    assert search(standings, AckLevel.ONE, b="gone") == (("a",), "")
    assert search(standings, AckLevel.ONE, b="gone", a="lost") == (("c",), "")
    targets = search(standings, AckLevel.ONE, b="gone", a="lost", c="mute")
    assert targets.replicas == ()
    told = "sw/0: 0 of 3 replicas can be asked, one needs 1; not: a (lost), b (gone), c (mute)"
    assert targets.problem == told


def test_at_a_quorum_those_that_broke_off_before_are_searched_again() -> None:
    assert search({"a": UP, "b": OWN, "c": UP}, b="gone").replicas == ("b", "a", "c")


def test_one_that_is_down_is_searched_where_it_is_needed() -> None:
    standings = {"a": DOWN, "b": OWN, "c": UP}
    assert search(standings) == (("b", "c"), "")
    assert search(standings, AckLevel.ALL) == (("b", "c", "a"), "")


def test_too_few_that_can_be_asked_are_named_with_the_reasons_of_the_others() -> None:
    targets = search({"a": FOREIGN, "b": OWN, "c": STRANGER})
    assert targets.replicas == ()
    told = "not: a (no gossipnode), c (no member of this cluster)"
    assert targets.problem == f"sw/0: 1 of 3 replicas can be asked, quorum needs 2; {told}"


@pytest.mark.slow
@examples(300)
@given(cases(), st.data())
def test_a_search_asks_enough_or_says_why_not(case: Case, data: st.DataObject) -> None:
    assume(case.placement.holders)
    broken = data.draw(st.sets(st.sampled_from(case.placement.holders)))
    targets = search(case.standings, case.level, case.placement, **dict.fromkeys(broken, "gone"))
    one = case.level is AckLevel.ONE
    able = {
        name
        for name in case.placement.holders
        if case.standings[name] in ASKABLE and not (one and name in broken)
    }
    tally = Tally(case.placement, case.level, reading=True)
    for name in case.placement.holders:
        if name in (targets.replicas or able):
            tally.took(name)
        else:
            tally.failed(name, "")
    assert tally.reached == (not targets.problem)
    assert bool(targets.replicas) == (not targets.problem)
    assert len(set(targets.replicas)) == len(targets.replicas)
    assert set(targets.replicas) <= able
    if one:
        assert len(targets.replicas) <= 1
