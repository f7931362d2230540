"""scripts/gate.py: what the gates have in common."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import gate


def test_each_problem_is_a_line_and_any_of_them_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.print_all(["a.py:1: wrong", "b.py:2: wrong"]) == 1
    assert capsys.readouterr().out == "a.py:1: wrong\nb.py:2: wrong\n"


def test_without_problems_it_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert gate.print_all([]) == 0
    assert capsys.readouterr().out == ""


def test_an_entry_that_nothing_needs_is_found_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SCRIPTS", tmp_path)
    (tmp_path / "a").write_text('ALLOWED = {\n    "needed": "why",\n    "other": "why",\n}\n')
    (problem,) = gate.not_needed("a", {"needed": "why", "other": "why"}, ["needed"])
    assert problem == "scripts/a:3: nothing needs 'other' any more: take it out of ALLOWED"


def test_scripts_that_python_runs(tmp_path: Path) -> None:
    for name, text in {"a": "#!/usr/bin/env python3\n", "b": "#!/bin/sh\n", "c.py": "", "d": ""}.items():
        (tmp_path / name).write_text(text)
    assert list(gate.python_scripts(tmp_path)) == [tmp_path / "a"]


def test_without_the_tools_a_gate_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "VENV_PYTHON", tmp_path / "none")
    with pytest.raises(SystemExit, match=r"scripts/a: no vulture. Install the tools with: pip install"):
        gate.run_in_venv("a", ImportError("no vulture"))


def test_with_a_virtual_environment_a_gate_runs_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr(gate, "REPOSITORY", tmp_path)
    monkeypatch.setattr(gate, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setattr(gate.os, "execv", lambda *arguments: called.extend(arguments))
    monkeypatch.setattr(sys, "argv", ["scripts/a", "--check"])
    with pytest.raises(SystemExit):
        gate.run_in_venv("a", ImportError("no vulture"))
    assert called == [Path(sys.executable), [sys.executable, str(gate.SCRIPTS / "a"), "--check"]]
