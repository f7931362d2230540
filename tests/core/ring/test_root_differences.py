"""When a difference of two roots is mended, and by whom."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.root_differences import (
    AGAIN_MIN_SECONDS,
    BUSY_SECONDS,
    DIFFERENCES_MAX,
    STILL_SECONDS,
    TURN_SECONDS,
    RootDifferences,
)
from tests.core.support import SHARD


def test_a_difference_that_stays_as_it_is_gets_due() -> None:
    known = RootDifferences()
    assert not known.differ("b", SHARD, (1, 2), 0.0, turn=0)
    assert not known.differ("b", SHARD, (1, 2), STILL_SECONDS - 1, turn=0)
    assert known.next_due() is None
    assert known.differ("b", SHARD, (1, 2), STILL_SECONDS, turn=0)
    assert known.next_due() == ("b", SHARD)
    known.equal("b", SHARD)
    assert known.next_due() is None


def test_a_root_that_changes_begins_again_until_it_has_changed_for_very_long() -> None:
    known = RootDifferences()
    for second in range(int(BUSY_SECONDS)):
        assert not known.differ("b", SHARD, (second, 2), float(second), turn=0)
    assert known.differ("b", SHARD, (0, 2), BUSY_SECONDS, turn=0)


def test_a_later_replica_leaves_it_to_the_first_one_for_a_while() -> None:
    known = RootDifferences()
    known.differ("b", SHARD, (1, 2), 0.0, turn=1)
    assert not known.differ("b", SHARD, (1, 2), TURN_SECONDS, turn=1)
    assert known.differ("b", SHARD, (1, 2), TURN_SECONDS + STILL_SECONDS, turn=1)


def test_what_a_session_did_not_mend_is_tried_again_later_and_later() -> None:
    known, now, times = RootDifferences(), 0.0, list[float]()
    while len(times) < 4:
        if known.differ("b", SHARD, (1, 2), now, turn=0):
            times.append(now)
            known.tried("b", SHARD, now)
            assert known.next_due() is None
        now += 1
    assert times == [10.0, 70.0, 190.0, 430.0]
    assert times[1] - times[0] == AGAIN_MIN_SECONDS


def test_all_of_a_member_are_forgotten_once_its_digest_is_ours() -> None:
    known = RootDifferences()
    for member in "bc":
        known.differ(member, SHARD, (1, 2), 0.0, turn=0)
    known.equal("b")
    assert len(known) == 1
    known.tried("b", SHARD, 1.0)


def test_only_so_many_are_remembered() -> None:
    known = RootDifferences()
    for number in range(DIFFERENCES_MAX + 5):
        known.differ("b", ShardId("sw", number), (1, 2), 0.0, turn=0)
    assert len(known) == DIFFERENCES_MAX
