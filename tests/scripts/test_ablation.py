"""scripts/ablation: the table of safeguards, how one is taken out, what counts as found, what is printed."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from ablations import command
from ablations.all_safeguards import SAFEGUARDS
from ablations.measure import REPOSITORY, Outcome, bench
from ablations.safeguard import PRODUCT, NotOnceError, taken_out, without
from gossipnode.sim.scenario.faults.fault_kinds import FAULT_KINDS

FOUND = Outcome("fence", "No fence.", ("always_a", "finally_b"), 3, 4.2, "a: 1 is 2")
MISSED = Outcome("lock", "No lock.", (), 12, 30.0, "")


# --- the table ---


@pytest.mark.parametrize("name", SAFEGUARDS)
def test_each_safeguard_can_be_taken_out_of_the_source(name: str) -> None:
    sources: dict[Path, str] = {}
    for change in SAFEGUARDS[name].changes:
        path = REPOSITORY / PRODUCT / change.file
        sources[path] = change.applied(sources.get(path) or path.read_text())
    for path, source in sources.items():
        assert ast.dump(ast.parse(source)) != ast.dump(ast.parse(path.read_text()))


def test_there_are_many_and_each_says_what_is_taken_out() -> None:
    assert len(SAFEGUARDS) > 40
    assert all(each.about[0].isupper() and each.about.endswith(".") for each in SAFEGUARDS.values())
    assert all(set(each.faults) <= set(FAULT_KINDS) for each in SAFEGUARDS.values())


# --- taking one out ---


def copy_with(directory: Path, source: str) -> Path:
    (directory / PRODUCT).mkdir()
    (directory / PRODUCT / "a.py").write_text(source)
    return directory


def test_a_safeguard_is_out_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    copy = copy_with(tmp_path, "x = 1\ny = 2\n")
    with taken_out(without("n", "N.", ("a.py", "x = 1", "x = 3"), ("a.py", "y = 2", "y = 4")), copy):
        assert (copy / PRODUCT / "a.py").read_text() == "x = 3\ny = 4\n"
    assert (copy / PRODUCT / "a.py").read_text() == "x = 1\ny = 2\n"


@pytest.mark.parametrize("source", ["x = 2\n", "x = 1\nx = 1\n"])
def test_a_text_that_is_not_there_once_is_an_error(tmp_path: Path, source: str) -> None:
    copy = copy_with(tmp_path, source)
    with (
        pytest.raises(NotOnceError, match=r"gossipnode/a\.py: \d times there, expected once: 'x = 1'"),
        taken_out(without("n", "N.", ("a.py", "x = 1", "x = 3")), copy),
    ):
        pass
    assert (copy / PRODUCT / "a.py").read_text() == source


# --- what counts as found ---


@pytest.mark.slow
def test_what_is_taken_out_is_found_and_what_changes_nothing_is_not() -> None:
    with bench(seeds=3, jobs=1, minutes=0.5, operations=60) as benched:
        shown = benched.measure(replace(SAFEGUARDS["tombstones"], faults=()))
        assert "always_deletes_stay" in shown.checks
        assert (shown.seeds <= 3, shown.example != "") == (True, True)
        same = without(
            "same",
            "Nothing.",
            ("core/cluster/placement.py", "return replicas // 2 + 1", "return 1 + replicas // 2"),
            faults=(),
        )
        assert benched.measure(same).checks == ()


# --- the command ---


def test_lines_and_tables() -> None:
    assert command.line_of(FOUND).split() == ["fence", "always_a,", "finally_b", "3", "seeds", "4", "s"]
    assert command.line_of(MISSED).split()[:2] == ["lock", "nothing"]
    rows = command.markdown([FOUND, MISSED]).splitlines()
    assert rows[2:] == [
        "| `fence`: No fence. | `always_a`, `finally_b` | 3 |",
        "| `lock`: No lock. | nothing | 12 |",
    ]
    assert FOUND.describe()["checks"] == ("always_a", "finally_b")


def test_the_list_names_every_safeguard(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--list"])
    assert not ended.value.code
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SAFEGUARDS)


def test_a_safeguard_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "no such safeguard: nothing" in capsys.readouterr().err
