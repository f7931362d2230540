"""Which messages a node takes, which ones wait, and which rounds are not needed."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.admission import ENDED_MAX_SHARDS, HANDLED_MAX_ROUNDS, Admission, Mailbox
from gossipnode.core.ring.turn import Cause, RoundMessage
from tests.core.ring.rounds import message
from tests.core.support import SHARD

OTHER = ShardId("g", 1)


def test_of_each_origin_one_message_waits_for_a_shard_and_its_latest_wins() -> None:
    box = Mailbox()
    first, second = message("a", "b", origin="a", round_="1"), message("a", "b", origin="a", round_="2")
    of_b, elsewhere = message("a", "b", origin="b"), message("a", shard=OTHER)
    assert box.put(first) is None
    assert box.put(elsewhere) is None
    assert box.put(of_b) is None
    assert box.put(second) is first
    assert [box.take(SHARD) for _ in range(3)] == [of_b, second, None]
    assert box.take(OTHER) is elsewhere
    assert box.take(OTHER) is None


def test_a_message_is_taken_once() -> None:
    admission = Admission()
    assert not admission.comes_again(message("a", "b", round_="r1"))
    assert admission.comes_again(message("a", "b", round_="r1"))
    # The same round comes back with a higher count, and another one with the same count.
    assert not admission.comes_again(message("a", "b", round_="r1", count=1))
    assert not admission.comes_again(message("a", "b", round_="r2"))


def test_a_foreign_round_has_no_id_and_is_never_a_double() -> None:
    admission = Admission()
    assert not any(admission.comes_again(message("a", "b", round_="")) for _ in range(3))


def test_the_memory_of_messages_is_bounded() -> None:
    admission = Admission()
    assert not any(
        admission.comes_again(message("a", round_=f"r{number}")) for number in range(HANDLED_MAX_ROUNDS)
    )
    assert admission.comes_again(message("a", round_="r0"))
    assert not admission.comes_again(message("a", round_="one more"))
    assert admission.comes_again(message("a", round_="r1"))
    assert not admission.comes_again(message("a", round_="r0")), "the oldest one is forgotten"
    assert len(admission._handled) == HANDLED_MAX_ROUNDS


def not_needed(admission: Admission, given_: RoundMessage, now: float) -> str:
    return admission.not_needed(given_, now=now, half_interval=100.0)


def test_a_scheduled_round_is_not_needed_once_one_of_another_origin_has_ended_well() -> None:
    admission = Admission()
    of_b = message("a", "b", origin="b", round_="2")
    assert not admission.comes_again(message("a", "b", origin="a", round_="1"))
    assert not_needed(admission, of_b, 1000.0) == "", "that one was seen says nothing"
    admission.ended_well(SHARD, "a", now=1000.0)
    assert not_needed(admission, of_b, 1099.9) == "a round of a ended well 100 s ago"
    assert not_needed(admission, of_b, 1100.0) == ""


def test_another_shard_and_another_round_of_the_same_origin_are_needed() -> None:
    admission = Admission()
    admission.ended_well(SHARD, "a", now=0)
    assert not_needed(admission, message("a", "b", origin="b", shard=OTHER), 1) == ""
    assert not_needed(admission, message("a", "b", origin="a"), 1) == ""


@pytest.mark.parametrize("cause", [Cause.ASKED, Cause.EVENT])
def test_a_round_asked_for_is_always_needed(cause: Cause) -> None:
    admission = Admission()
    admission.ended_well(SHARD, "a", now=0)
    assert not_needed(admission, message("a", "b", origin="b", cause=cause), 1) == ""


def test_a_round_under_way_goes_on() -> None:
    admission = Admission()
    admission.ended_well(SHARD, "a", now=0)
    assert not_needed(admission, message("a", "b", "c", origin="b", count=1), 1) == ""


def test_the_memory_of_ends_is_bounded() -> None:
    admission = Admission()
    for number in range(ENDED_MAX_SHARDS):
        admission.ended_well(ShardId("g", number), "a", now=0)
    admission.ended_well(ShardId("g", 0), "a", now=1)
    admission.ended_well(ShardId("h", 0), "a", now=1)
    assert len(admission._ended) == ENDED_MAX_SHARDS
    assert not_needed(admission, message("a", "b", origin="b", shard=ShardId("g", 0)), 2)
    assert not not_needed(admission, message("a", "b", origin="b", shard=OTHER), 2), "the oldest is forgotten"
