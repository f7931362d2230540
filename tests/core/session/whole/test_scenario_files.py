"""The scenario files: readable sessions, line by line, that the real sides must follow.

After a wanted change: GOSSIPNODE_REWRITE_SCENARIOS=1 pytest tests/core/session/whole/test_scenario_files.py
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from tests.core.session.whole.scenario import run, without_output
from tests.core.session.whole.scenario_text import ScenarioError

FOLDER = Path(__file__).resolve().parents[3] / "scenarios" / "session"
SCENARIOS = sorted(path.stem for path in FOLDER.glob("*.txt"))
REWRITE = "GOSSIPNODE_REWRITE_SCENARIOS"

MESSAGES = (
    "tree_root",
    "root_compare",
    "tree_slots",
    "differ_tree_summary",
    "property_missing",
    "property_sync",
    "wait_next_differ",
)


def check(path: Path) -> None:
    """Fail with a diff if the sides do not do what a file says. With `REWRITE` set, rewrite the file."""
    said = path.read_text(encoding="utf-8")
    done = run(said)
    if os.environ.get(REWRITE):
        path.write_text(done, encoding="utf-8")
    elif said != done:
        diff = difflib.unified_diff(
            said.splitlines(), done.splitlines(), f"{path.name}: says", "the sides do", lineterm=""
        )
        pytest.fail(
            "\n".join([*diff, "", f"If this is wanted, rewrite the files: {REWRITE}=1"]), pytrace=False
        )


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_sides_do_what_the_file_says(name: str) -> None:
    check(FOLDER / f"{name}.txt")


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_the_file_says_follows_from_its_steps(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert run(without_output(text)) == run(text)


def test_the_scenarios_show_every_message_and_explain_themselves() -> None:
    texts = [(FOLDER / f"{name}.txt").read_text(encoding="utf-8") for name in SCENARIOS]
    assert len(texts) >= 12
    for text in texts:
        assert text.startswith("# ")
        assert "not over" not in text, "a session is left in the middle"
    for message in MESSAGES:
        assert any(f"-> {message}" in text for text in texts), message
        assert any(f"<- {message}" in text for text in texts), message


# The runner itself

EXAMPLE = """\
# An example.
client holds kiwi@1
----
root 000000

client starts
"""


def test_a_file_that_says_something_else_fails_with_a_diff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REWRITE, raising=False)
    path = tmp_path / "example.txt"
    path.write_text(EXAMPLE, encoding="utf-8")
    with pytest.raises(pytest.fail.Exception) as failure:
        check(path)
    lines = str(failure.value).splitlines()
    assert "-root 000000" in lines
    assert any(line.startswith("+-> tree_root shop/0 ") for line in lines)
    assert path.read_text(encoding="utf-8") == EXAMPLE


def test_a_file_is_rewritten_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "example.txt"
    path.write_text(EXAMPLE, encoding="utf-8")
    monkeypatch.setenv(REWRITE, "1")
    check(path)
    rewritten = path.read_text(encoding="utf-8")
    assert rewritten.startswith("# An example.\nclient holds kiwi@1\n----\nroot ")
    assert "000000" not in rewritten
    monkeypatch.delenv(REWRITE)
    check(path)


@pytest.mark.parametrize(
    "text",
    [
        "client walks",
        "client holds kiwi",
        "client hears",
        "client holds kiwi@1\nclient hears: hello",
        "client holds kiwi@1\nclient starts\nclient hears: differ_tree_summary kiwi@1",
    ],
)
def test_a_step_that_makes_no_sense_is_told(text: str) -> None:
    with pytest.raises(ScenarioError, match="line"):
        run(text)
