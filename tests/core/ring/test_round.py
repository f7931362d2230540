"""A round at its origin: its course, its outcome, and the reasons of an early end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gossipnode.core.ring.round import (
    SILENCE_MAX_SECONDS,
    Ended,
    Hop,
    InSession,
    NotNeeded,
    Round,
    RoundOutcome,
    outcome_of,
)
from gossipnode.core.ring.turn import HopEnd
from tests.core.ring.rounds import EQUAL, FAILED, REPAIRED, SKIPPED, complaints, forwarded, opened, report
from tests.core.support import SHARD

# The outcome of hops


def test_a_hop_is_successful_when_it_moved_the_message_on() -> None:
    assert [end for end in HopEnd if Hop("a", "b", end).successful] == [EQUAL, REPAIRED]


@pytest.mark.parametrize(
    ("hops", "outcome"),
    [
        ([], RoundOutcome.CONVERGED),
        ([(EQUAL, 0), (EQUAL, 0)], RoundOutcome.CONVERGED),
        ([(EQUAL, 0), (REPAIRED, 0)], RoundOutcome.REPAIRED),
        ([(REPAIRED, 0)], RoundOutcome.REPAIRED),
        ([(EQUAL, 0), (REPAIRED, 1)], RoundOutcome.INCOMPLETE),
        ([(EQUAL, 1)], RoundOutcome.INCOMPLETE),
        ([(SKIPPED, 0), (EQUAL, 0)], RoundOutcome.INCOMPLETE),
        ([(EQUAL, 0), (FAILED, 0)], RoundOutcome.INCOMPLETE),
        ([(HopEnd.BUSY, 0)], RoundOutcome.INCOMPLETE),
    ],
)
def test_the_outcome_of_hops(hops: list[tuple[HopEnd, int]], outcome: RoundOutcome) -> None:
    assert outcome_of(Hop("a", "b", end, skipped=skipped) for end, skipped in hops) is outcome


# The course of a round


def test_a_round_of_one_is_over_at_once_and_converged() -> None:
    for nodes in ((), ("a",)):
        round_ = opened(*nodes, now=5.0)
        assert round_.finished == Round("r", SHARD, "o", 17, RoundOutcome.CONVERGED, 0.0, ())
        assert round_.snapshot(99.0) == round_.finished
        assert round_.shard == SHARD


def test_a_round_that_every_holder_reports() -> None:
    round_ = opened("a", "b", "c", now=10.0)
    assert round_.finished is None
    assert round_.expires == 10.0 + SILENCE_MAX_SECONDS == 40.0
    round_.taken_by("a", 11.0)
    assert round_.expires == 41.0
    round_.report(report("a", 0, InSession("b")), 20.0)
    assert round_.expires == 50.0
    round_.report(forwarded("a", 0, "b", REPAIRED), 21.0)
    assert round_.expires == 51.0
    round_.report(forwarded("b", 1, "c"), 22.0)
    assert round_.snapshot(23.0) == Round(
        "r", SHARD, "o", 17, None, 13.0, (Hop("a", "b", REPAIRED), Hop("b", "c", EQUAL))
    )
    round_.report(report("c", 2, Ended(""), ("a", EQUAL)), 24.0)
    assert round_.finished == Round(
        "r",
        SHARD,
        "o",
        17,
        RoundOutcome.REPAIRED,
        14.0,
        (Hop("a", "b", REPAIRED), Hop("b", "c", EQUAL), Hop("c", "a", EQUAL)),
    )


def test_a_round_in_which_all_is_equal_has_converged() -> None:
    round_ = opened("a", "b")
    round_.report(report("a", 0, Ended(""), ("b", EQUAL)), 1.0)
    assert round_.finished is not None
    assert round_.finished.outcome is RoundOutcome.CONVERGED


def test_a_round_that_is_not_needed() -> None:
    round_ = opened("a", "b", "c", now=10.0)
    round_.report(report("a", 0, NotNeeded("of b")), now=11.0)
    assert round_.finished == Round("r", SHARD, "o", 17, RoundOutcome.NOT_NEEDED, 1.0, ())
    assert not RoundOutcome.NOT_NEEDED.good
    assert [outcome for outcome in RoundOutcome if outcome.good] == [
        RoundOutcome.CONVERGED,
        RoundOutcome.REPAIRED,
    ]


def test_a_round_under_way_cannot_be_called_needless() -> None:
    for earlier in (forwarded("a", 0, "b"), report("a", 0, InSession("b"))):
        round_ = opened("a", "b", "c")
        round_.report(earlier, now=0.0)
        for holder, count in (("b", 1), ("a", 2), ("stranger", 0)):
            round_.report(report(holder, count, NotNeeded("so I say")), now=0.0)
            if count or holder == "stranger":
                assert round_.finished is None


def test_a_report_that_comes_twice_changes_nothing() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("a", 0, "b"), 1.0)
    round_.report(forwarded("a", 0, "c", FAILED), 5.0)
    assert round_.snapshot(5.0).hops == (Hop("a", "b", EQUAL),)
    assert round_.expires == 1.0 + SILENCE_MAX_SECONDS


def test_a_holder_that_reports_twice_with_other_counts_held_the_message_twice() -> None:
    round_ = opened("a", "b", "c", "d")
    ring = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]
    for count, (holder, to) in enumerate(ring):
        round_.report(forwarded(holder, count, to), 1.0)
    assert round_.finished is None
    round_.report(report("a", 4, Ended(""), ("b", EQUAL)), 2.0)
    assert round_.finished is not None
    assert [hop.from_node for hop in round_.finished.hops] == ["a", "b", "c", "d", "a"]


def test_a_stranger_cannot_report() -> None:
    round_ = opened("a", "b")
    round_.report(report("x", 0, InSession("b")), 29.0)
    round_.report(report("x", 0, Ended(""), ("b", EQUAL)), 29.0)
    assert round_.expires == SILENCE_MAX_SECONDS
    assert round_.finished is None
    assert round_.snapshot(0.0).hops == ()


@pytest.mark.parametrize("count", [-1, 3, 4, 2**31])
def test_a_report_with_a_count_that_the_round_cannot_reach_is_dropped(count: int) -> None:
    round_ = opened("a", "b", "c")
    round_.report(report("a", count, InSession("b")), 29.0)
    round_.report(report("a", count, Ended(""), ("b", EQUAL)), 29.0)
    assert round_.expires == SILENCE_MAX_SECONDS
    assert round_.snapshot(29.0).hops == ()


def test_that_a_round_of_one_was_taken_changes_nothing() -> None:
    round_ = opened("a")
    expires = round_.expires
    round_.taken_by("a", 5.0)
    assert round_.expires == expires


def test_nothing_changes_a_round_that_is_over() -> None:
    round_ = opened("a", "b")
    round_.report(report("a", 0, Ended(""), ("b", EQUAL)), 1.0)
    before = round_.finished
    round_.report(report("b", 0, Ended("late"), ("a", FAILED)), 2.0)
    round_.taken_by("b", 2.0)
    round_.abandon("too late", 2.0)
    round_.expire(1e9)
    assert round_.finished is before


# Ends with a reason


def test_a_round_that_ends_early_says_why() -> None:
    round_ = opened("a", "b", "c")
    hops = (("b", EQUAL), ("c", EQUAL))
    round_.report(report("a", 0, Ended("no successor is left"), *hops), 1.0)
    assert round_.finished is not None
    assert round_.finished.outcome is RoundOutcome.INCOMPLETE
    assert complaints(round_) == [("a", "no successor is left")]


def test_a_failed_hop_says_enough() -> None:
    round_ = opened("a", "b", "c")
    hops = (("b", SKIPPED), ("c", FAILED))
    round_.report(report("a", 0, Ended("no successor is left"), *hops), 1.0)
    assert round_.finished is not None
    assert round_.finished.outcome is RoundOutcome.INCOMPLETE
    assert [hop.to_node for hop in round_.finished.hops] == ["b", "c"]


def test_a_holder_that_knows_fewer_members_cannot_end_the_round_in_good_order() -> None:
    """The views disagree: the holder counted 3 hops for 3 nodes, while the origin's round has 4 nodes."""
    round_ = opened("a", "b", "c", "d")
    round_.report(forwarded("a", 0, "b"), 1.0)
    round_.report(forwarded("b", 1, "c"), 1.0)
    round_.report(report("c", 2, Ended(""), ("a", EQUAL)), 1.0)
    assert round_.finished is not None
    assert round_.finished.outcome is RoundOutcome.INCOMPLETE
    assert complaints(round_) == [("c", "ended after 3 of 5 hops")]


def test_an_origin_may_give_its_round_up() -> None:
    round_ = opened("a", "b", "c", now=1.0)
    round_.report(forwarded("a", 0, "b"), 2.0)
    round_.abandon("no node can be reached", 3.0)
    assert round_.finished == Round(
        "r",
        SHARD,
        "o",
        17,
        RoundOutcome.INCOMPLETE,
        2.0,
        (Hop("a", "b", EQUAL), Hop("o", "", SKIPPED, "no node can be reached")),
    )


def test_complaints_come_last_in_the_order_they_were_made() -> None:
    round_ = opened("a", "b", "c", "d", "e")
    round_.report(report("e", 6, Ended("no successor is left"), ("a", EQUAL)), 1.0)
    round_.report(forwarded("c", 2, "d"), 1.0)
    round_.expire(6.0)
    assert round_.finished is not None
    assert [(hop.from_node, hop.reason) for hop in round_.finished.hops] == [
        ("c", ""),
        ("e", ""),
        ("e", "no successor is left"),
        ("a", "holder a does not report"),
        ("d", "holder d does not report"),
    ]


def test_a_report_is_a_value() -> None:
    one = forwarded("a", 0, "b")
    assert replace(one, count=1) != one
