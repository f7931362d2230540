"""A few random runs, with the faults and the checks that hold today. `scripts/nightly` does many more."""

from __future__ import annotations

import pytest

from gossipnode.sim.checks.all_checks import CHECKS
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import Job, MadeRun
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from tests.sim import not_yet

SEEDS = range(1000, 1012)
PROCESSES = 2


@pytest.mark.slow
def test_a_cluster_keeps_its_promises_in_a_few_random_runs() -> None:
    jobs = [Job(MadeRun(seed, 5, 1.5, 100, not_yet.HOLDING)) for seed in SEEDS]
    with Workers(PROCESSES) as workers:
        summaries = list(workers.run_all(jobs))
    found = [
        f"seed {summary.seed}: {violation.check}: {violation.text}"
        for summary in summaries
        for violation in summary.violations
        if violation.check not in not_yet.CHECKS
    ]
    assert not found, "\n".join(found)
    assert sum(summary.operations for summary in summaries) >= 100 * len(SEEDS)


def test_what_does_not_hold_yet_names_faults_and_checks_that_there_are() -> None:
    assert not_yet.FAULTS.keys() <= FAULT_KINDS.keys()
    assert not_yet.CHECKS.keys() <= CHECKS.keys()
