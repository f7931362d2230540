"""Every file of tests/scenarios/cluster: what a cluster does, and what it still does wrong.

A file that begins with `known` names the checks that it breaks today, or `steps` for what its steps expect in
vain. It must break exactly these: once it breaks fewer, this test fails until the file says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.sim.runs.one_run import run_scenario
from gossipnode.sim.scenario.verbs.all_verbs import VERBS, read_scenario

FOLDER = Path(__file__).parents[2] / "scenarios" / "cluster"
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_goes_as_its_file_says(file: Path) -> None:
    scenario = read_scenario(file.read_text(), file.name)
    result = run_scenario(scenario)
    broken = {violation.check for violation in result.violations} | ({"steps"} if result.problems else set())
    found = [*result.problems, *(f"{each.check}: {each.text}" for each in result.violations)]
    assert broken == set(scenario.known), "\n".join(found) or f"{file.name} is mended: take its `known` out"


def test_there_are_scenarios() -> None:
    assert FILES


def test_the_readme_has_every_verb() -> None:
    rows = [
        f"| `{f'{verb.name} {verb.usage}'.strip().replace('|', chr(92) + '|')}` | {verb.about} |"
        for verb in VERBS.values()
    ]
    table = "\n".join(["| step | what it does |", "|---|---|", *rows])
    assert f"\n{table}\n" in (FOLDER / "README.md").read_text()
