"""What is remembered of replicas that missed writes, and when it is to be made good."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.missed_writes import (
    MISSED_SHARDS_MAX,
    TRY_PAUSE_MAX_SECONDS,
    TRY_PAUSE_MIN_SECONDS,
    MissedWrites,
)

S0, S1, S2 = (ShardId("sw", number) for number in range(3))


def test_nothing_is_due_of_those_who_missed_nothing_or_are_away() -> None:
    missed = MissedWrites()
    assert missed.due({"b", "c"}, 0) == []
    assert missed.next_due({"b", "c"}) is None
    missed.note("b", S0)
    assert missed.due({"c"}, 0) == []
    assert missed.next_due({"c"}) is None
    assert missed.due({"b", "c"}, 0) == [("b", S0)]
    assert missed.next_due({"b"}) == 0


def test_the_newest_need_comes_first() -> None:
    missed = MissedWrites()
    for shard in (S0, S1, S2, S0):
        missed.note("b", shard)
    missed.note("c", S1)
    assert missed.due({"b", "c"}, 0) == [("c", S1), ("b", S0), ("b", S2), ("b", S1)]
    assert (missed.count("b", S0), missed.count("b", S1), missed.count("c", S0)) == (2, 1, 0)


def test_a_shard_that_was_made_equal_is_forgotten() -> None:
    missed = MissedWrites()
    missed.note("b", S0)
    begun = missed.begin("b", S0)
    assert missed.due({"b"}, 0) == [], "one try at a time"
    assert missed.next_due({"b"}) is None
    missed.end("b", S0, begun, 1, problem="")
    assert len(missed) == 0


def test_what_is_missed_during_a_try_is_not_known_to_be_made_good_by_it() -> None:
    missed = MissedWrites()
    missed.note("b", S0)
    begun = missed.begin("b", S0)
    missed.note("b", S0)
    missed.end("b", S0, begun, 10, problem="")
    assert missed.count("b", S0) == 1
    assert missed.due({"b"}, 10) == []
    assert missed.due({"b"}, 10 + TRY_PAUSE_MIN_SECONDS) == [("b", S0)]


def test_the_pause_doubles_with_each_try_and_a_return_ends_it() -> None:
    missed = MissedWrites()
    missed.note("b", S0)
    missed.note("c", S0)
    pauses, now = [], 0.0
    for _ in range(9):
        begun = missed.begin("b", S0)
        missed.end("b", S0, begun, now, problem="full")
        due = missed.next_due({"b"})
        assert due is not None
        pauses.append(due - now)
        now = due
    assert pauses == [1, 2, 4, 8, 16, 32, TRY_PAUSE_MAX_SECONDS, TRY_PAUSE_MAX_SECONDS, TRY_PAUSE_MAX_SECONDS]
    missed.end("b", S0, missed.begin("b", S0), now, problem="full")
    missed.came_back("c", now)
    assert missed.due({"b"}, now) == []
    missed.came_back("b", now)
    assert missed.due({"b"}, now) == [("b", S0)]
    missed.end("b", S0, missed.begin("b", S0), now, problem="full")
    assert missed.next_due({"b"}) == now + TRY_PAUSE_MIN_SECONDS


def test_what_was_forgotten_during_a_try_stays_forgotten() -> None:
    missed = MissedWrites()
    missed.note("b", S0)
    begun = missed.begin("b", S0)
    missed.forget("b", S0)
    missed.forget("b", S1)
    missed.end("b", S0, begun, 1, problem="full")
    assert len(missed) == 0


def test_the_memory_is_bounded() -> None:
    missed = MissedWrites()
    for number in range(MISSED_SHARDS_MAX):
        missed.note("b", ShardId("g", number))
    missed.note("b", ShardId("g", 0))
    missed.note("b", S0)
    assert len(missed) == MISSED_SHARDS_MAX
    assert missed.count("b", ShardId("g", 0)) == 2
    assert missed.count("b", ShardId("g", 1)) == 0, "the oldest need is forgotten"
    assert missed.due({"b"}, 0)[:2] == [("b", S0), ("b", ShardId("g", 0))]


def test_why_a_replica_could_not_be_made_equal_is_known_until_it_is() -> None:
    missed = MissedWrites()
    missed.note("b", S0)
    assert missed.problems() == {}
    missed.end("b", S0, missed.begin("b", S0), 1, problem="full")
    assert missed.problems() == {"b": "full"}
    missed.end("b", S0, missed.begin("b", S0), 2, problem="")
    assert missed.problems() == {}
