"""Scenarios made from seeds: how much clients do, and when."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from gossipnode.core.cluster.placement import replicas_of
from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import ShardId, parse_entity
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from gossipnode.sim.scenario.generate import AFTER_ONCE_SECONDS, EACH_MINUTE, JOINED_MAX, generate
from gossipnode.sim.scenario.scenario import Scenario, Step

OF_CLIENTS = ("apply", "replace", "delete", "get", "query", "import")
SEEDS = range(20)


def operations(scenario: Scenario) -> list[Step]:
    return [step for step in scenario.steps if step.verb in OF_CLIENTS and step.arguments[1][:3] == "sw/"]


def times(steps: list[Step]) -> list[float]:
    return [step.at for step in steps if step.at is not None]


@pytest.mark.parametrize("count", [0, 1, 100])
def test_there_are_as_many_operations_as_asked_for_within_the_time(count: int) -> None:
    for seed in SEEDS:
        made = generate(seed, minutes=1.0, operations=count, faults=("cut",))
        done = [step for step in made.steps if step.verb in OF_CLIENTS]
        assert len(done) == count
        assert all(0.0 <= time <= 60.0 for time in times(done))


def test_operations_meet_at_one_record_in_one_instant() -> None:
    for seed in SEEDS:
        met = Counter((step.at, step.arguments[1]) for step in operations(generate(seed, operations=300)))
        assert max(met.values()) >= 2


def test_clients_are_busy_when_something_breaks() -> None:
    """A third or two thirds of all bursts begin there, which would be far fewer by chance."""
    near = every = 0
    for seed in SEEDS:
        made = generate(seed, faults=("pause",))
        moments = [step.at or 0.0 for step in made.steps if step.verb in ("pause", "resume")]
        begun = times(operations(made))
        near += sum(any(moment - 0.3 <= time <= moment + 2.0 for moment in moments) for time in begun)
        every += len(begun)
    assert near > every / 3


def test_some_faults_come_and_go_while_clients_write() -> None:
    schedules = [generate(seed, faults=("pause",)).steps for seed in SEEDS]
    lasted = [
        (resumed.at or 0.0) - (paused.at or 0.0)
        for steps in schedules
        for paused in steps
        for resumed in steps
        if paused.verb == "pause" and resumed.verb == "resume" and paused.arguments == resumed.arguments
        if (resumed.at or 0.0) > (paused.at or 0.0)
    ]
    assert sum(seconds < 3.0 for seconds in lasted) > len(SEEDS)


def test_a_write_is_interrupted_at_a_replica_of_its_record() -> None:
    """Its node loses the others while its bytes are under way, and comes back before what follows."""
    for seed in SEEDS:
        made = generate(seed, operations=0, faults=("interrupted",))
        group, shards, replicas = made.groups[0].split(":")
        writes = [step for step in made.steps if step.verb in ("apply", "replace", "delete")]
        assert writes
        ends = [step for step in made.steps if step.verb in ("drop", "crash") and step.at is not None]
        for step in ends:
            host = next(name for name in re.split("[->]", step.arguments[0]) if name != "*")
            begun = [each for each in writes if each.arguments[0] == host and each.at is not None]
            (first, *_) = [each for each in begun if 0.0 < (step.at or 0.0) - (each.at or 0.0) < 0.7]
            shard = ShardId(group, shard_of(parse_entity(first.arguments[1]), int(shards)))
            assert host in replicas_of(shard, made.nodes, int(replicas))


def test_no_more_than_a_few_nodes_join() -> None:
    joined = [
        sum(step.verb == "join" for step in generate(seed, minutes=20.0, faults=("join", "pause")).steps)
        for seed in SEEDS
    ]
    assert 0 < max(joined) <= 2 * (JOINED_MAX + 2)


def test_faults_that_nobody_asked_for_do_not_take_the_place_of_more_joins() -> None:
    for seed in SEEDS:
        made = generate(seed, minutes=20.0, operations=0, faults=("moving",))
        assert {step.verb for step in made.steps} <= {
            *("cut", "mend", "pause", "resume", "latency", "commits", "join", "apply", "replace", "delete"),
            *("get", "round", "heal", "wait", "crash", "raw-put-many", "round-all", "finish", "watch"),
        }
        last = max((step.at or 0.0 for step in made.steps if step.verb == "cut"), default=0.0)
        assert last < 600.0


def test_a_run_whose_rounds_are_scheduled_once_asks_for_none_and_waits_for_them() -> None:
    found = 0
    for seed in range(200):
        made = generate(seed, faults=("dying-origin",))
        schedule = made.settings.get("repair.schedule", EACH_MINUTE)
        if schedule != EACH_MINUTE:
            found += 1
            assert not any(step.verb == "round" for step in made.steps)
            assert Step(None, "wait", (f"{AFTER_ONCE_SECONDS:g}",)) in made.steps
            assert any(step.verb == "crash-origin" and step.at == 0.0 for step in made.steps)
    assert 2 < found < 30


def test_last_rounds_have_work() -> None:
    for seed in SEEDS:
        assert generate(seed, faults=()).steps[-2].verb == "raw-put-many"


def test_what_comes_in_calm_begins_after_all_is_healed_and_ends_before_the_last_rounds() -> None:
    for seed in SEEDS:
        verbs = [step.verb for step in generate(seed, operations=0, faults=("crash", "slow-hop")).steps]
        healed = verbs.index("heal")
        assert "crash" in verbs[:healed]
        if "commits" in (meanwhile := verbs[healed : verbs.index("heal", healed + 1)]):
            assert "wait" in meanwhile
        assert "raw-put" not in verbs[:healed]


def test_the_names_of_faults_may_come_in_any_order() -> None:
    names = list(FAULT_KINDS)
    assert generate(3, faults=names) == generate(3, faults=reversed(names))


def test_the_only_copy_of_a_record_is_left_alone() -> None:
    """Nothing is promised of what one replica held and lost, so such a run would find what is no fault."""
    lone = 0
    for seed in range(200):
        made = generate(seed, operations=0, faults=tuple(FAULT_KINDS))
        if made.groups[0].endswith(":1"):
            lone += 1
            assert not {step.verb for step in made.steps} & {"flip", "wipe", "putback"}
    assert lone > 5
