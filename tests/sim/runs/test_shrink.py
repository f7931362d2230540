"""The shortest schedule: found by leaving out what is not needed, in a bounded number of runs."""

from __future__ import annotations

import pytest

from gossipnode.sim.runs.shrink import Shows, shrink
from gossipnode.sim.scenario.scenario import Scenario, Step

END = (Step(None, "heal"), Step(None, "settle", ("10",)), Step(None, "finish"))


def noise(count: int) -> list[Step]:
    return [
        Step(float(number), "apply", ("a", f"sw/n/{number}", "x=1", "ack=one"))
        for number in range(1, count + 1)
    ]


def scenario(*needed: Step, steps: int = 300) -> Scenario:
    """A long scenario in which these steps are spread among others."""
    body = noise(steps)
    for number, step in enumerate(needed):
        body.insert((number + 1) * steps // (len(needed) + 1), step)
    return Scenario(
        nodes=("a", "b", "c", "d"),
        groups=("sw:1:3", "other:1:2"),
        seed=7,
        settings={"k": "v"},
        steps=(*body, *END),
    )


def holding(*verbs: str, at_most: int = 2_000) -> Shows:
    """Shows it where all of these verbs stand in this order, and the last step is `finish`."""

    def shows(tried: Scenario) -> bool:
        assert tried.text().count("\n") < at_most
        found = iter([step.verb for step in tried.steps])
        return all(verb in found for verb in verbs)

    return shows


CRASH = Step(40.0, "crash", ("b",))
CUT = Step(80.0, "cut", ("a-b", "b-c"))
WIPE = Step(200.0, "wipe", ("b",))


def test_only_what_is_needed_is_left() -> None:
    shrunk = shrink(scenario(CRASH, CUT, WIPE), holding("crash", "cut", "wipe", "finish"))
    assert (shrunk.shown, shrunk.finished) == (True, True)
    assert [step.verb for step in shrunk.scenario.steps] == ["crash", "cut", "wipe", "finish"]
    assert shrunk.scenario.steps[1].arguments == ("a-b",)
    assert shrunk.scenario.seed == 7


def test_nodes_groups_and_settings_that_nothing_names_go() -> None:
    def shows(tried: Scenario) -> bool:
        return len(tried.groups) > 0 and holding("crash", "cut")(tried)

    left = shrink(scenario(CRASH, CUT), shows).scenario
    assert left.groups == ("other:1:2",)
    assert left.nodes == ("a", "b")
    assert left.settings == {}


def test_as_many_nodes_stay_as_there_are_replicas() -> None:
    def shows(tried: Scenario) -> bool:
        return "sw:1:3" in tried.groups and holding("crash")(tried)

    left = shrink(scenario(CRASH), shows).scenario
    assert (len(left.nodes), left.groups) == (3, ("sw:1:3",))


def test_the_end_stays_where_it_is_needed() -> None:
    left = shrink(scenario(CRASH), holding("crash", "heal", "settle", "finish")).scenario
    assert [step.verb for step in left.steps] == ["crash", "heal", "settle", "finish"]


def test_no_single_step_can_be_left_out() -> None:
    """Two of three copies are needed, which no halving finds."""

    def shows(tried: Scenario) -> bool:
        return [step.verb for step in tried.steps].count("crash") >= 2

    left = shrink(scenario(CRASH, CUT, CRASH, WIPE, CRASH), shows).scenario
    assert [step.verb for step in left.steps] == ["crash", "crash"]


def test_times_and_numbers_become_small() -> None:
    def shows(tried: Scenario) -> bool:
        times = [step.at for step in tried.steps if step.verb in ("crash", "wipe") and step.at is not None]
        waits = [step.arguments for step in tried.steps if step.verb == "wait"]
        return len(times) == 2 and times[1] - times[0] >= 3 and waits != [] and len(waits[0]) == 1

    left = shrink(scenario(CRASH, Step(None, "wait", ("64",)), WIPE), shows).scenario
    crash, wait, wipe = left.steps
    assert crash.at is not None
    assert wipe.at is not None
    assert crash.at < 5
    assert 3 <= wipe.at - crash.at < 10
    assert int(wait.arguments[0]) <= 4


def test_the_runs_are_bounded_and_the_best_is_kept() -> None:
    runs = 0

    def shows(tried: Scenario) -> bool:
        nonlocal runs
        runs += 1
        return holding("crash", "cut", "wipe")(tried)

    given = scenario(CRASH, CUT, WIPE)
    shrunk = shrink(given, shows, runs_max=12)
    assert (runs, shrunk.runs, shrunk.finished, shrunk.shown) == (12, 12, False, True)
    assert len(shrunk.scenario.steps) < len(given.steps) / 2


@pytest.mark.parametrize("runs_max", [1, 50])
def test_a_violation_that_does_not_come_again(runs_max: int) -> None:
    given = scenario(CRASH)
    shrunk = shrink(given, lambda _: False, runs_max)
    assert (shrunk.scenario, shrunk.shown, shrunk.runs) == (given, False, 1)


def test_no_scenario_is_run_twice() -> None:
    texts: list[str] = []

    def shows(tried: Scenario) -> bool:
        texts.append(tried.text())
        return holding("crash", "wipe")(tried)

    shrink(scenario(CRASH, WIPE, steps=40), shows)
    assert len(texts) == len(set(texts))


def test_a_long_schedule_takes_few_runs() -> None:
    shrunk = shrink(scenario(CRASH, CUT, WIPE, steps=1_000), holding("crash", "cut", "wipe", "finish"))
    assert shrunk.finished
    assert shrunk.runs < 200
