"""A round at its origin, when holders fall silent or reports overtake each other."""

from __future__ import annotations

from gossipnode.core.ring.round import LATE_REPORT_SECONDS, Ended, Hop, InSession, Round, RoundOutcome
from tests.core.ring.rounds import DEADLINE, EQUAL, FAILED, SKIPPED, complaints, forwarded, opened, report
from tests.core.support import SHARD


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
    """Node a holds the message twice. Only its first report is lost, so only a is named."""
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
