"""What a purge round needs, and what holds its mark where it is."""

from __future__ import annotations

import pytest

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.purge_round import (
    SealAnswer,
    held_back_by,
    seal_of,
    why_not_now,
    why_not_proven,
    why_not_sealed,
)
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd

SECOND = 1_000_000_000


def hops(*pairs: str) -> list[Hop]:
    return [Hop(pair[0], pair[1], HopEnd.REPAIRED) for pair in pairs]


def placement(settled: str = "abc", coming: str = "abc") -> Placement:
    return Placement(ShardId("g", 0), tuple(settled), tuple(coming), frozenset(), 3)


def test_the_seal_lies_before_the_start_of_the_round() -> None:
    assert seal_of(100 * SECOND, 7) == 93 * SECOND


@pytest.mark.parametrize(
    ("ring", "made"),
    [("a", []), ("ab", ["ab"]), ("abc", ["ab", "bc", "ca"]), ("abcd", ["ab", "bc", "cd", "da", "ab"])],
)
def test_all_hops_of_a_round_prove(ring: str, made: list[str]) -> None:
    assert why_not_proven(hops(*made), tuple(ring)) == ""
    if made:
        assert why_not_proven(hops(*made[:-1]), tuple(ring))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        # a and c met, and b came back for the last hop: c lacks what b alone had.
        (["ac", "ca", "ab"], "3 of 3 hops"),
        (["ab", "bc"], "2 of 3 hops"),
        (["ab", "bc", "ca", "ab"], "4 of 3 hops"),
    ],
)
def test_other_hops_prove_nothing(made: list[str], reason: str) -> None:
    assert why_not_proven(hops(*made), tuple("abc")) == reason


def test_a_record_or_a_replica_that_was_left_out_is_named() -> None:
    made = hops("ab", "bc", "ca")
    made[1] = Hop("b", "c", HopEnd.REPAIRED, "left out: 1 not storable", skipped=1)
    assert why_not_proven(made, tuple("abc")) == "b with c: left out: 1 not storable"
    assert why_not_proven([Hop("a", "", HopEnd.SKIPPED, "it hangs")], tuple("abc")) == "a: it hangs"


def test_who_does_not_seal_is_named() -> None:
    answers = {"a": SealAnswer(1, 2), "b": SealAnswer(1, 2, problem="the shard moves")}
    assert held_back_by(answers, "abc") == "b: the shard moves; c: no answer"
    assert held_back_by({"a": SealAnswer(1, 2)}, "a") == ""


def test_what_can_be_tried_at_all() -> None:
    assert why_not_now(placement(), ()) == ""
    assert why_not_now(placement(coming="abd"), ()) == "the shard moves"
    assert why_not_now(placement(), ["p"]) == "p is no gossipnode, and cannot seal"
    assert why_not_now(placement("", ""), ())


def test_no_replica_seals_ahead_of_its_clock() -> None:
    assert why_not_sealed(5 * SECOND, 5 * SECOND) == ""
    assert "ahead of its clock" in why_not_sealed(5 * SECOND + 1, 5 * SECOND)


def test_another_start_and_late_records_are_noticed() -> None:
    assert SealAnswer(1, 2, 3).start == SealAnswer(1, 2, 3, "x").start
    assert len({SealAnswer(1, 2, 3).start, SealAnswer(2, 2, 3).start, SealAnswer(1, 2, 4).start}) == 3
