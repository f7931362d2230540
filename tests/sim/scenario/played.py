"""Plays a few lines of a scenario, for tests of verbs."""

from __future__ import annotations

from gossipnode.sim.runs.one_run import RunResult, run_scenario
from gossipnode.sim.scenario.verbs.all_verbs import read_scenario


def played(text: str) -> RunResult:
    """Run a scenario as it stands here."""
    return run_scenario(read_scenario(text, "here"))


def problems(text: str) -> list[str]:
    """What its steps expected in vain."""
    return played(text).problems
