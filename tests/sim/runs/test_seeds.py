"""A few random runs, with the faults and the checks that hold today. `scripts/nightly` does many more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gossipnode.sim.checks.all_checks import CHECKS
from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import Job, MadeRun
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS
from tests.sim import not_yet

SEEDS = range(1000, 1012)
OPERATIONS = 100


@pytest.fixture(scope="module")
def worker() -> Iterator[Workers]:
    """A process that does one run after the other."""
    with Workers(1) as workers:
        yield workers


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_cluster_keeps_its_promises_in_a_random_run(seed: int, worker: Workers) -> None:
    summary = worker.run(Job(MadeRun(seed, 5, 1.5, OPERATIONS, not_yet.HOLDING)))
    found = [
        f"{violation.check}: {violation.text}"
        for violation in summary.violations
        if violation.check not in not_yet.CHECKS
    ]
    assert not found, "\n".join(found)
    assert summary.operations >= OPERATIONS


def test_what_does_not_hold_yet_names_faults_and_checks_that_there_are() -> None:
    assert not_yet.FAULTS.keys() <= FAULT_KINDS.keys()
    assert not_yet.CHECKS.keys() <= CHECKS.keys()
