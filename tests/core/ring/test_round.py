from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipnode.core.ring.round import (
    LATE_REPORT_SECONDS,
    SILENCE_MAX_SECONDS,
    Ended,
    Forwarded,
    Hop,
    InSession,
    OpenRound,
    Report,
    Round,
    RoundOutcome,
    outcome_of,
)
from gossipnode.core.ring.turn import (
    Cause,
    EndRound,
    Forward,
    HolderTurn,
    HopEnd,
    RepairWith,
    RoundMessage,
    hop_limit,
)
from tests.core.support import SHARD, examples

EQUAL, REPAIRED, SKIPPED, FAILED = HopEnd.EQUAL, HopEnd.REPAIRED, HopEnd.SKIPPED, HopEnd.FAILED
DEADLINE = 600.0


def opened(*nodes: str, now: float = 0.0) -> OpenRound:
    return OpenRound("r", SHARD, "o", nodes, started_at=17, now=now, deadline_seconds=DEADLINE)


def report(holder: str, count: int, then: InSession | Forwarded | Ended, *hops: tuple[str, HopEnd]) -> Report:
    made = tuple(Hop(holder, to_node, end) for to_node, end in hops)
    return Report("r", SHARD, holder, count, made, then)


def forwarded(holder: str, count: int, to: str, end: HopEnd = EQUAL, *, foreign: bool = False) -> Report:
    return report(holder, count, Forwarded(to, foreign), (to, end))


def complaints(round_: OpenRound) -> list[tuple[str, str]]:
    assert round_.finished is not None
    return [(hop.from_node, hop.reason) for hop in round_.finished.hops if not hop.to_node]


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


def test_nothing_changes_a_round_that_is_over() -> None:
    round_ = opened("a", "b")
    round_.report(report("a", 0, Ended(""), ("b", EQUAL)), 1.0)
    before = round_.finished
    round_.report(report("b", 0, Ended("late"), ("a", FAILED)), 2.0)
    round_.taken_by("b", 2.0)
    round_.abandon("too late", 2.0)
    round_.expire(1e9)
    assert round_.finished is before


# Silence


def test_a_round_of_which_nothing_is_heard_ends_at_its_deadline_and_not_before() -> None:
    round_ = opened("a", "b", "c", now=10.0)
    round_.expire(39.99)
    assert round_.finished is None
    round_.expire(40.0)
    assert round_.finished == Round(
        "r",
        SHARD,
        "o",
        17,
        RoundOutcome.INCOMPLETE,
        30.0,
        (Hop("a", "", SKIPPED, "holder a does not report"),),
    )


def test_the_first_holder_may_be_another_node_than_the_first() -> None:
    round_ = opened("a", "b", "c")
    round_.taken_by("b", 1.0)
    round_.expire(31.0)
    assert complaints(round_) == [("b", "holder b does not report")]


def test_a_sign_of_life_puts_the_deadline_off() -> None:
    round_ = opened("a", "b", "c")
    for now in (20.0, 40.0, 60.0):
        round_.report(report("a", 0, InSession("b")), now)
        round_.expire(now + 29.9)
        assert round_.finished is None
    round_.expire(90.0)
    assert complaints(round_) == [("a", "holder a does not report")]


def test_a_holder_that_got_the_message_and_dies_is_named() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("a", 0, "b"), 10.0)
    round_.expire(40.0)
    assert complaints(round_) == [("b", "holder b does not report")]
    assert round_.finished is not None
    assert round_.finished.hops[0] == Hop("a", "b", EQUAL)
    assert round_.finished.outcome is RoundOutcome.INCOMPLETE


def test_a_foreign_holder_may_be_silent_for_longer() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("a", 0, "b", foreign=True), 10.0)
    assert round_.expires == 10.0 + DEADLINE
    round_.expire(609.9)
    assert round_.finished is None
    round_.expire(610.0)
    assert complaints(round_) == [("b", "holder b does not report")]


def test_what_comes_after_a_foreign_holder_ends_the_round_too() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("a", 0, "b", foreign=True), 10.0)
    round_.report(report("c", 2, Ended(""), ("a", EQUAL)), 20.0)
    assert round_.finished is None
    assert round_.expires == 20.0 + LATE_REPORT_SECONDS == 25.0
    round_.expire(25.0)
    assert complaints(round_) == [("b", "holder b does not report")]


def test_reports_may_come_after_the_end_was_reported() -> None:
    round_ = opened("a", "b", "c")
    round_.report(report("c", 2, Ended(""), ("a", EQUAL)), 1.0)
    round_.report(forwarded("b", 1, "c"), 2.0)
    assert round_.finished is None
    assert round_.expires == 6.0, "a late report does not put the deadline off"
    round_.report(forwarded("a", 0, "b"), 3.0)
    assert round_.finished is not None
    assert round_.finished.outcome is RoundOutcome.CONVERGED
    assert [hop.from_node for hop in round_.finished.hops] == ["a", "b", "c"]


def test_a_late_report_that_never_comes_is_complained_about() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("b", 1, "c"), 1.0)
    round_.report(report("c", 2, Ended(""), ("a", EQUAL)), 1.0)
    round_.expire(5.9)
    assert round_.finished is None
    round_.expire(6.0)
    assert complaints(round_) == [("a", "holder a does not report")]


def test_the_holder_that_is_named_is_the_one_whose_report_is_missing() -> None:
    """a holds the message twice; only its first report is lost, and nobody else is to blame."""
    round_ = opened("a", "b", "c", "d")
    for count, (holder, to) in enumerate([("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")]):
        if count:
            round_.report(forwarded(holder, count, to), 1.0)
    round_.report(report("a", 4, Ended(""), ("b", EQUAL)), 2.0)
    round_.expire(7.0)
    assert complaints(round_) == [("a", "holder a does not report")]


def test_every_silent_holder_is_named() -> None:
    round_ = opened("a", "b", "c", "d")
    round_.report(forwarded("b", 1, "c"), 1.0)
    round_.report(report("d", 3, Ended("no successor is left"), ("a", FAILED)), 2.0)
    round_.expire(7.0)
    assert complaints(round_) == [("a", "holder a does not report"), ("c", "holder c does not report")]


def test_an_overtaken_report_does_not_change_who_is_waited_for() -> None:
    round_ = opened("a", "b", "c", "d")
    round_.report(forwarded("a", 0, "b"), 1.0)
    round_.report(forwarded("c", 2, "d", foreign=True), 2.0)
    round_.report(forwarded("b", 1, "c"), 3.0)
    round_.report(report("b", 1, InSession("c")), 3.0)
    assert round_.expires == 2.0 + DEADLINE
    round_.expire(602.0)
    assert complaints(round_) == [("d", "holder d does not report")]


def test_an_overtaken_sign_of_life_changes_nothing() -> None:
    round_ = opened("a", "b", "c", "d")
    round_.report(forwarded("b", 1, "c"), 2.0)
    round_.report(report("a", 0, InSession("b")), 20.0)
    assert round_.expires == 32.0
    round_.report(report("c", 2, Ended("no successor is left"), ("d", FAILED)), 21.0)
    round_.report(report("c", 3, InSession("d")), 22.0)
    assert round_.expires == 26.0


def test_that_the_message_was_taken_may_be_known_after_the_first_report() -> None:
    round_ = opened("a", "b", "c")
    round_.report(forwarded("a", 0, "b"), 1.0)
    round_.taken_by("a", 2.0)
    assert round_.expires == 31.0
    round_.expire(31.0)
    assert complaints(round_) == [("b", "holder b does not report")]
    round_ = opened("a", "b", "c")
    round_.report(report("b", 1, InSession("c")), 1.0)
    round_.taken_by("a", 2.0)
    round_.expire(31.0)
    assert complaints(round_) == [("b", "holder b does not report")]


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
    """Ring views that disagree: it counted 3 hops for 3 nodes, while the origin's round has 4 nodes."""
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


# Any course of a round, and any way of its reports


@dataclass
class Course:
    """A round as it really went."""

    nodes: tuple[str, ...]
    reports: list[Report]
    hops: list[Hop]
    ended: bool

    @property
    def outcome(self) -> RoundOutcome:
        if not self.ended or len([hop for hop in self.hops if hop.successful]) < hop_limit(len(self.nodes)):
            return RoundOutcome.INCOMPLETE
        return outcome_of(self.hops)


@st.composite
def courses(draw: st.DrawFn) -> Course:
    nodes = tuple("abcde"[: draw(st.integers(2, 5))])
    good = draw(st.booleans())
    ends = [EQUAL, EQUAL, REPAIRED] if good else [EQUAL, REPAIRED, SKIPPED, FAILED, HopEnd.BUSY]
    message = RoundMessage("r", SHARD, "o", nodes, 0, Cause.SCHEDULED)
    course = Course(nodes, [], [], ended=False)
    holder = draw(st.sampled_from(nodes))
    while True:
        if draw(st.integers(0, 14)) == 14:
            return course  # the holder died with the message
        turn = HolderTurn(message, holder)
        count = message.count
        hops: list[Hop] = []
        step = turn.next_step()
        while True:
            if isinstance(step, RepairWith):
                course.reports.append(Report("r", SHARD, holder, count, (), InSession(step.peer)))
                end = draw(st.sampled_from(ends))
                following = turn.repaired(end)
                if end is not HopEnd.BUSY or not isinstance(following, RepairWith) or following.attempt == 0:
                    skipped = draw(st.sampled_from([0] * 9 + [1]))
                    hops.append(Hop(holder, step.peer, end, skipped=skipped))
                step = following
            elif isinstance(step, Forward) and not good and draw(st.integers(0, 5)) == 5:
                step = turn.not_forwarded()
            else:
                break
        course.hops += hops
        if isinstance(step, EndRound):
            course.ended = True
            course.reports.append(Report("r", SHARD, holder, count, tuple(hops), Ended(step.reason)))
            return course
        foreign = draw(st.sampled_from([False, False, True]))
        course.reports.append(Report("r", SHARD, holder, count, tuple(hops), Forwarded(step.peer, foreign)))
        message, holder = step.message, step.peer


GOODNESS = [RoundOutcome.INCOMPLETE, RoundOutcome.REPAIRED, RoundOutcome.CONVERGED]


@pytest.mark.slow
@given(courses(), st.data())
@examples(150)
def test_a_round_always_ends_and_never_looks_better_than_it_was(course: Course, data: st.DataObject) -> None:
    """Reports are lost, doubled and reordered, and time passes between them."""
    round_ = opened(*course.nodes)
    arriving = data.draw(
        st.lists(st.sampled_from(course.reports), max_size=30) if course.reports else st.just([])
    )
    now = 0.0
    for each in arriving:
        now += data.draw(st.sampled_from([0.0, 0.1, 4.0, 20.0, 31.0]))
        round_.expire(now)
        round_.report(each, now)
    for _ in range(2):
        round_.expire(max(now, round_.expires))
    assert round_.finished is not None
    assert round_.finished.outcome is not None
    assert GOODNESS.index(round_.finished.outcome) <= GOODNESS.index(course.outcome)
    assert len(round_.finished.hops) <= len(course.hops) + len(course.nodes) * 2


@pytest.mark.slow
@given(courses(), st.data())
@examples(100)
def test_a_round_of_which_every_report_arrives_in_time_shows_what_it_was(
    course: Course, data: st.DataObject
) -> None:
    round_ = opened(*course.nodes)
    for each in data.draw(st.permutations(course.reports)):
        round_.report(each, 0.0)
    if course.ended:
        assert round_.finished is not None, "without waiting for anything"
    round_.expire(round_.expires)
    assert round_.finished is not None
    assert round_.finished.outcome is course.outcome
    assert [hop for hop in round_.finished.hops if hop.to_node] == course.hops


def test_a_report_is_a_value() -> None:
    one = forwarded("a", 0, "b")
    assert replace(one, count=1) != one
