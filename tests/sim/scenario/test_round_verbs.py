"""Verbs of rounds, and that every round of every node enters the history."""

from __future__ import annotations

import pytest

from gossipnode.core.model.property import ShardId
from tests.sim.scenario.played import played, problems

pytestmark = pytest.mark.slow

PAIR = "nodes a b\ngroups sw:1:2\n"
EACH_MINUTE = PAIR + 'setting repair.schedule "* * * * *"\n'


def test_a_round_says_what_came_of_it_and_why() -> None:
    assert not problems(
        PAIR + "round a sw 0 -> converged !repaired\nround a sw 3 -> fails 'no shard 3 of sw'"
    )
    (problem,) = problems(PAIR + "stop b\nround a sw 0 -> converged")
    assert problem.endswith(
        "in what came of it: incomplete UNAVAILABLE: b:7400 cannot be reached: connection refused 0"
    )


def test_a_scheduled_round_enters_the_history_with_what_it_found() -> None:
    result = played(
        EACH_MINUTE + "@59 raw-put a sw/n/1 x=1\nwait 9\nrounds a sw 8 -> 1 some\nrounds a sw 0.5 -> 0"
    )
    assert not result.problems
    first, second = result.history.rounds
    assert {first.origin, second.origin} == {"a", "b"}
    assert first.cause == second.cause == "scheduled"
    assert first.shard == ShardId("sw", 0)
    assert 60 <= first.began <= first.ended < second.began <= 66
    assert (first.outcome, first.replicas, first.final) == ("repaired", 2, False)
    assert (first.equal_before, first.equal_after, second.equal_before) == (False, True, True)
    assert [hop.to_node for hop in first.hops] in (["a"], ["b"])


def test_a_round_whose_origin_is_killed_is_lost_and_is_seen_as_under_way_before() -> None:
    result = played(
        PAIR
        + "raw-put a sw/n/1 x=1\ncommits b 5 5\n@0.1 round a sw 0 -> lost\n"
        + "@0.0 until-round a sw/0 5 -> ok asked\n@1 rounds a sw 9 -> 1 open\n@2 crash a"
    )
    assert not result.problems
    (seen,) = result.history.rounds
    assert (seen.outcome, seen.hops, seen.ended) == ("", (), 2.0)
    assert result.history.reached["crash while a round ran"] == 1


def test_a_paused_machine_does_not_hold_back_what_is_known_of_its_rounds() -> None:
    result = played(PAIR + "@1 pause b\n@2 round a sw 0 -> incomplete\n@2 pause a\n@40 crash a")
    (seen,) = result.history.rounds
    assert (seen.outcome, seen.ended) == ("", 40.0)


def test_until_round_waits_for_a_round_of_that_machine_and_no_longer_than_it_says() -> None:
    (problem,) = problems(PAIR + "@1 round b sw 0\n@0 until-round a sw 3 -> ok")
    assert problem.endswith("fails a has opened no round of sw after 3 s")
    assert not problems(EACH_MINUTE + "until-round a sw -> ok scheduled")


def test_whoever_opens_the_next_round_is_killed_and_comes_back() -> None:
    result = played(
        PAIR + "@1 crash-origin sw 5 10 -> b started\n@2 round b sw 0 -> lost\n@3 state b -> ended\n"
        "@8 state b -> running\n@20 crash-origin sw/0 5 3 -> fails"
    )
    assert not result.problems
    (problem,) = problems(PAIR + "crash-origin sw 1 3 -> ok")
    assert problem.endswith("fails nobody has opened a round of sw after 3 s")


def test_rounds_of_all_shards_run_at_once_each_at_one_replica() -> None:
    result = played(
        "nodes a b c\ngroups sw:3:2 t:1:2\nraw-put-many sw/n 0 9 x=1\nround-all sw -> 3 repaired\nequal -> ok"
    )
    assert not result.problems
    assert sorted(str(seen.shard) for seen in result.history.rounds) == ["sw/0", "sw/1", "sw/2"]


def test_a_round_that_a_node_refuses_is_lost_at_once() -> None:
    many = "nodes a\ngroups sw:600:1 t:600:1\n"
    result = played(many + "@1 round-all sw\n@1 round-all t -> 600 lost converged")
    assert not result.problems
    assert sum(not seen.outcome for seen in result.history.rounds) == 1200 - 1024
