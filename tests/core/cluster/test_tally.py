"""When enough replicas have done a request: the tally against its definition, replica by replica."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.cluster.placement import AckLevel, Placement, majority, replicas_of
from gossipnode.core.cluster.tally import Tally, in_every_quorum
from gossipnode.core.model.property import ShardId
from tests.core.cluster.clusters import born, place

SHARD = ShardId("sw", 0)
LEVELS = (AckLevel.ONE, AckLevel.QUORUM, AckLevel.ALL)

ages = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 2), min_size=1, max_size=7)


class Case(NamedTuple):
    """A placement, and the members that took a request or failed at it. The others said nothing."""

    placement: Placement
    took: frozenset[str]
    failed: frozenset[str]
    level: AckLevel
    reading: bool


@st.composite
def cases(draw: st.DrawFn) -> Case:
    members = draw(ages)
    settled = draw(st.one_of(st.just(members), ages))
    leaving = draw(st.sets(st.sampled_from(sorted(members)), max_size=len(members) - 1))
    placement = place(SHARD, draw(st.integers(1, 5)), settled=settled, members=members, leaving=leaving)
    placement = replace(placement, replicas_before=draw(st.sampled_from((0, 1, 2, 3, 5))))
    said = {name: draw(st.sampled_from(("took", "failed", ""))) for name in placement.holders}
    return Case(
        placement,
        frozenset(name for name in said if said[name] == "took"),
        frozenset(name for name in said if said[name] == "failed"),
        draw(st.sampled_from(LEVELS)),
        draw(st.booleans()),
    )


def settled_placement(names: str = "abc", replicas: int = 3) -> Placement:
    return place(SHARD, replicas, settled=born(names), members=born(names))


def is_enough(case: Case, took: frozenset[str]) -> bool:
    """The definition, in the words of the data model."""
    placement = case.placement
    if case.level is AckLevel.ONE:
        # A read needs a replica that has the records already, if there is one.
        who = placement.sources if case.reading and placement.sources else placement.holders
        return bool(took & set(who))
    quorum = case.level is AckLevel.QUORUM
    needed = majority(placement.replicas) if quorum else placement.replicas
    before = placement.replicas_before or placement.replicas
    needed_before = majority(before) if quorum else before
    of_coming = len(took & set(placement.coming))
    of_settled = len(took & set(placement.sources))
    if not placement.moving:
        return of_coming >= needed
    # Settled replicas that have lost their records cannot be asked.
    return of_coming >= needed and of_settled >= min(needed_before, len(placement.sources))


def tally_of(case: Case) -> Tally:
    tally = Tally(case.placement, case.level, reading=case.reading)
    for name in case.took:
        tally.took(name)
    for name in case.failed:
        tally.failed(name, "is down")
    return tally


@given(cases())
def test_a_tally_is_reached_as_defined(case: Case) -> None:
    tally = tally_of(case)
    assert tally.reached == is_enough(case, case.took)
    assert tally.acknowledged == len(case.took)
    assert set(tally.missing) == set(case.placement.holders) - case.took - case.failed
    assert list(tally.missing) == sorted(tally.missing)


@given(cases(), st.sets(st.sampled_from("abcdefg")))
def test_it_is_impossible_once_all_the_others_would_not_do(case: Case, avoided: set[str]) -> None:
    tally = tally_of(case)
    everyone = frozenset(case.placement.holders)
    assert tally.impossible == (not is_enough(case, everyone - case.failed))
    left = everyone - case.failed - avoided
    assert tally.impossible_without(avoided) == (not is_enough(case, left))
    assert not (tally.reached and tally.impossible)


@given(cases(), st.permutations("abcdefg"))
def test_the_order_of_answers_does_not_matter_and_a_verdict_stays(case: Case, order: list[str]) -> None:
    tally = Tally(case.placement, case.level, reading=case.reading)
    reached = impossible = False
    for name in order:
        if name in case.took:
            tally.took(name)
        elif name in case.failed:
            tally.failed(name, "is down")
        assert tally.reached >= reached
        assert tally.impossible >= impossible
        reached, impossible = tally.reached, tally.impossible
    assert (reached, impossible) == (tally_of(case).reached, tally_of(case).impossible)


@pytest.mark.slow
@given(cases())
def test_what_was_written_is_met_by_each_later_read(case: Case) -> None:
    """At quorum, any two sets of replicas that are enough share one. Those that lack a write are too few."""
    if case.level is not AckLevel.ONE and case.placement.sources and is_enough(case, case.took):
        assert not is_enough(case, frozenset(case.placement.holders) - case.took)


@pytest.mark.parametrize("replicas", range(1, 8))
def test_a_quorum_is_the_fewest_that_always_meet(replicas: int) -> None:
    placement = settled_placement("abcdefg", replicas)
    fewest = next(number for number in range(1, replicas + 1) if 2 * number > replicas)
    for count in range(replicas + 1):
        tally = Tally(placement, AckLevel.QUORUM)
        for name in placement.holders[:count]:
            tally.took(name)
        assert tally.reached == (count >= fewest)


@given(st.integers(1, 7), st.integers(1, 7))
def test_replicas_that_do_not_exist_count_as_missing(members: int, replicas: int) -> None:
    placement = settled_placement("abcdefg"[:members], replicas)
    for level in (AckLevel.QUORUM, AckLevel.ALL):
        tally = Tally(placement, level)
        for name in placement.holders:
            tally.took(name)
        needed = majority(replicas) if level is AckLevel.QUORUM else replicas
        assert tally.reached == (min(members, replicas) >= needed)
        assert tally.impossible != tally.reached


def test_the_problem_says_how_many_of_how_many_and_who_did_not() -> None:
    tally = Tally(settled_placement(), AckLevel.QUORUM)
    tally.took("b")
    tally.failed("c", "is down")
    assert tally.problem("took it") == (
        "1 of 3 replicas took it, quorum needs 2; not: a (no answer), c (is down)"
    )


def test_the_problem_says_when_there_are_too_few_members() -> None:
    tally = Tally(settled_placement("a"), AckLevel.ALL)
    tally.took("a")
    assert tally.problem("answered") == (
        "1 of 3 replicas answered, all needs 3; there are 1 members for 3 replicas"
    )


def test_the_problem_of_a_move_speaks_of_old_and_new_replicas() -> None:
    before = dict.fromkeys("abc", 0)
    after = {**before, "d": 1, "e": 1, "f": 1}
    shard = next(
        shard
        for shard in (ShardId("sw", number) for number in range(100))
        if len(set(replicas_of(shard, after, 3)) - set("abc")) == 2
    )
    placement = place(shard, 3, settled=before, members=after)
    tally = Tally(placement, AckLevel.QUORUM)
    for name in placement.sources:
        tally.took(name)
    text = tally.problem("took it")
    assert text.startswith("3 of 3 replicas took it, quorum needs 2 of the old and of the new ones, for ")
    assert all(f"{name} (no answer)" in text for name in placement.joining)


def test_enough_for_every_quorum_while_a_shard_moves() -> None:
    assert in_every_quorum(settled_placement(), {"a", "c"})
    assert not in_every_quorum(settled_placement(), {"a", "x"})
    before = dict.fromkeys("abc", 0)
    shard = next(
        shard
        for shard in (ShardId("sw", number) for number in range(100))
        if replicas_of(shard, "abcd", 3) == ("b", "c", "d")
    )
    placement = place(shard, 3, settled=before, members={**before, "d": 1})
    assert in_every_quorum(placement, {"b", "c"})
    assert in_every_quorum(placement, {"a", "b", "d"})
    assert not in_every_quorum(placement, {"a", "b"})
    assert not in_every_quorum(placement, {"c", "d"})


def test_local_has_no_quorum() -> None:
    with pytest.raises(ValueError, match="local"):
        Tally(settled_placement(), AckLevel.LOCAL)


def test_a_replica_cannot_do_a_request_and_fail_at_it() -> None:
    tally = Tally(settled_placement(), AckLevel.QUORUM)
    tally.took("a")
    with pytest.raises(AssertionError, match="a took it before"):
        tally.failed("a", "is down")
    tally.failed("b", "is down")
    with pytest.raises(AssertionError, match="b failed before"):
        tally.took("b")
