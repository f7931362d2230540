"""Every file of tests/scenarios/cluster: what a cluster does, and what it still does wrong.

A file that begins with `known` names the checks that it breaks today, or `steps` for what its steps expect in
vain. It must break exactly these: once it breaks fewer, this test fails until the file says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode.sim.runs.many_runs import Workers
from gossipnode.sim.runs.run_messages import GivenRun, Job
from gossipnode.sim.scenario.verbs.all_verbs import VERBS, read_scenario

FOLDER = Path(__file__).parents[2] / "scenarios" / "cluster"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Workers]:
    """A process that plays one file after the other."""
    with Workers(1) as workers:
        yield workers


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_goes_as_its_file_says(file: Path, worker: Workers) -> None:
    summary = worker.run(Job(GivenRun(file.name, file.read_text())))
    assert not summary.refused, summary.refused
    broken = {violation.check for violation in summary.violations}
    found = [f"{each.check}: {each.text}" for each in summary.violations]
    known = set(read_scenario(file.read_text(), file.name).known)
    assert broken == known, "\n".join(found) or f"{file.name} is mended: take its `known` out"


def test_there_are_scenarios() -> None:
    assert FILES


def test_the_readme_has_every_verb() -> None:
    rows = [
        f"| `{f'{verb.name} {verb.usage}'.strip().replace('|', chr(92) + '|')}` | {verb.about} |"
        for verb in VERBS.values()
    ]
    table = "\n".join(["| step | what it does |", "|---|---|", *rows])
    assert f"\n{table}\n" in (FOLDER / "README.md").read_text()
