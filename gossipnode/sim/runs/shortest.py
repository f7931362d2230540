"""The shortest schedule of a violation, found with runs in a process of their own."""

from __future__ import annotations

from collections.abc import Callable

from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import GivenRun, Job
from gossipnode.sim.runs.shrink import RUNS_MAX, Shrunk, shrink
from gossipnode.sim.scenario.scenario import Scenario
from gossipnode.sim.scenario.verbs.all_verbs import read_scenario


def shortest(
    workers: Workers,
    text: str,
    check: str,
    finished: Callable[[], None],
    runs_max: int = RUNS_MAX,
) -> Shrunk:
    """The shortest scenario that still violates a check. `finished` is called at the end of each run.

    Args:
        workers: where the scenarios are run.
        text: the text of a scenario that violates the check.
        check: the name of the check.
        finished: is called whenever a run has ended.
        runs_max: how many runs there may be.
    """

    def shows(candidate: Scenario) -> bool:
        summary = workers.run(Job(GivenRun(candidate.name, candidate.text())))
        finished()
        return any(violation.check == check for violation in summary.violations)

    return shrink(read_scenario(text, "the scenario"), shows, runs_max)
