"""Scenarios made from seeds: how much clients do, and when."""

from __future__ import annotations

from collections import Counter

import pytest

from gossipnode.sim.scenario.fault_kinds import FAULT_KINDS
from gossipnode.sim.scenario.generate import generate
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


def test_the_names_of_faults_may_come_in_any_order() -> None:
    names = list(FAULT_KINDS)
    assert generate(3, faults=names) == generate(3, faults=reversed(names))
