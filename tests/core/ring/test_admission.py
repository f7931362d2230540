"""Which messages a node takes, and which one waits."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.admission import HANDLED_MAX_ROUNDS, Admission, Mailbox
from gossipnode.core.ring.turn import Cause, RoundMessage
from tests.core.ring.rounds import message
from tests.core.support import SHARD


def test_one_message_waits_for_each_shard_and_the_latest_wins() -> None:
    box = Mailbox()
    other = ShardId("g", 1)
    first, second, elsewhere = message("a", count=0), message("a", "b"), message("a", shard=other)
    assert box.put(first) is None
    assert box.put(elsewhere) is None
    assert box.put(second) is first
    assert box.take(SHARD) is second
    assert box.take(SHARD) is None
    assert box.take(other) is elsewhere


def refusal(admission: Admission, given_: RoundMessage, now: float, half_interval: float = 100.0) -> str:
    return admission.refusal(given_, now=now, half_interval=half_interval)


def test_a_message_is_taken_once() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", round_="r1"), 0) == ""
    assert refusal(admission, message("a", "b", round_="r1"), 1) == "handled already"
    # The same round comes back with a higher count, and another one with the same count.
    assert refusal(admission, message("a", "b", round_="r1", count=1), 1) == ""
    assert refusal(admission, message("a", "b", round_="r2"), 1) == ""


def test_a_foreign_round_has_no_id_and_is_never_a_double() -> None:
    admission = Admission()
    for now in range(3):
        assert refusal(admission, message("a", "b", round_=""), now) == ""


def test_the_memory_of_messages_is_bounded() -> None:
    admission = Admission()
    for number in range(HANDLED_MAX_ROUNDS):
        assert refusal(admission, message("a", round_=f"r{number}"), 0) == ""
    assert refusal(admission, message("a", round_="r0"), 0) == "handled already"
    assert refusal(admission, message("a", round_="one more"), 0) == ""
    assert refusal(admission, message("a", round_="r1"), 0) == "handled already"
    assert refusal(admission, message("a", round_="r0"), 0) == "", "the oldest one is forgotten"
    assert len(admission._handled) == HANDLED_MAX_ROUNDS


def test_a_scheduled_round_on_the_heels_of_another_origins_is_refused() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 1000.0) == ""
    late = message("a", "b", origin="b", round_="")
    assert refusal(admission, late, 1099.9) == "a round of a was seen 100 s ago"
    assert refusal(admission, late, 1100.0) == ""


def test_another_shard_is_another_matter() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", shard=ShardId("g", 1)), 1) == ""


def test_the_same_origin_may_go_on() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="a", round_="2"), 1) == ""


@pytest.mark.parametrize("cause", [Cause.ASKED, Cause.EVENT])
def test_a_round_asked_for_is_never_refused(cause: Cause) -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", cause=cause), 1) == ""


def test_a_round_under_way_is_never_dropped_in_the_middle() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", "c", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", "c", origin="b", round_="2", count=1), 1) == ""


def test_a_round_seen_in_the_middle_counts_as_seen() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", "c", origin="a", round_="1", count=1), 0) == ""
    assert refusal(admission, message("a", "b", "c", origin="b", round_="2"), 1) != ""


def test_a_refused_round_does_not_push_the_time_on() -> None:
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2"), 99) != ""
    assert refusal(admission, message("a", "b", origin="b", round_="3"), 100) == ""


def test_a_round_of_ones_own_does_not_hide_another_origins() -> None:
    """A round of a was seen, and then one that was asked for at b. A scheduled round of b is too early."""
    admission = Admission()
    assert refusal(admission, message("a", "b", origin="a", round_="1"), 0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="2", cause=Cause.ASKED), 10) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="3"), 20) == (
        "a round of a was seen 20 s ago"
    )
    assert refusal(admission, message("a", "b", origin="b", round_="4"), 100) == ""


def test_origins_that_are_long_past_are_forgotten() -> None:
    admission = Admission()
    for number in range(1000):
        given_ = message("a", "b", origin=f"o{number}", round_=f"r{number}", cause=Cause.ASKED)
        assert refusal(admission, given_, now=number * 200.0) == ""
    assert refusal(admission, message("a", "b", origin="b", round_="x"), 1000 * 200.0) == ""
