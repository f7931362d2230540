"""scripts/documents: each kind of thing that a document names, once there and once not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.loading import load_script

documents = load_script("documents")

Problems = Callable[[str], list[str]]


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    """Check a README.md in a small repository; gives what is wrong, each with its line."""
    for path in (
        "docs/client.md",
        "gossipnode/core/DESIGN.md",
        "gossipnode/core/model/limits.py",
        "scripts/bench",
        "scripts/test",
        "tests/golden/vectors/types.json",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("# The client library\n")

    def check(text: str) -> list[str]:
        (tmp_path / "README.md").write_text(text)
        return [problem.removeprefix("README.md:") for problem in documents.problems(tmp_path)]

    return check


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/client.md) and [b](gossipnode/core/) and [c](https://example.org/none)",
        "[a](docs/client.md#the-client-library)",
        "# A *heading*, with `code`\n[a](#a-heading-with-code)",
        "no link: `[a](none.md)`",
        "    [a](none.md)",
    ],
)
def test_links_that_lead_somewhere(problems: Problems, text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\n[a](docs/none.md)", "2: there is no file docs/none.md: correct the link"),
        ("[a](docs/client.md#none)", "1: client.md has no heading #none: correct the link"),
        ("[a](#none)", "1: README.md has no heading #none: correct the link"),
    ],
)
def test_links_that_lead_nowhere(problems: Problems, text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    "path",
    [
        "gossipnode/core/model/limits.py",
        "gossipnode/core",
        "core/model/limits.py",
        "core/model/limits.py:3",
        "core/",
        "limits.py",
        "model/limits.py",
        "docs/client.md",
        "tests/golden/vectors/*.json",
        "tests/ROOM/",
        "tests/.../vectors",
        # Not a path of a repository.
        "sw/service/web-1",
        "core/tree",
        "data/a",
        "FILE.toml",
        "/proc/self",
    ],
)
def test_paths_that_exist_or_are_none(problems: Problems, path: str) -> None:
    assert problems(f"`{path}`") == []


@pytest.mark.parametrize(
    "path",
    [
        "gossipnode/none",
        "gossipnode/limits.py",
        "tests/model/limits.py",
        "core/none.py",
        "core/none/",
        "none.py",
        "docs/none.md",
        "tests/test_none.py::test_a",
        "tests/golden/none/*.json",
        "scripts/none",
    ],
)
def test_paths_that_do_not_exist(problems: Problems, path: str) -> None:
    assert problems(f"one line\nand `{path}`") == [f"2: there is no {path}: correct the path"]


def test_a_path_from_the_folder_of_its_document(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "gossipnode" / "core" / "DESIGN.md").write_text("`model/limits.py` and `model/none.py`")
    found = "gossipnode/core/DESIGN.md:1: there is no model/none.py: correct the path"
    assert problems("") == [found]


@pytest.mark.parametrize(
    "command",
    [
        "gossipnode status",
        "gossipnode --version",
        "gossipnode -h",
        "gossipnode group create flags --shards 8 --index owner",
        'gossipnode query sw --where \'a > -1 AND b = "|"\' -o json | head -1 && scripts/test -m "not slow"',
        ".venv/bin/python -m gossipnode repair sw --wait   # --none",
        "gossipnode COMMAND --help",
        "gossipnode import sw - --at=127.0.0.1:7400",
        "repair --wait",
        "scripts/bench --tiny apply-1 repair --records 10",
        "scripts/bench --help",
        # Not a command of ours.
        "query = client.query('sw')",
        "it's --none",
        "ls --none",
    ],
)
def test_commands_that_can_be_given(problems: Problems, command: str) -> None:
    assert problems(f"    {command}\n\n```\n{command}\n```\n") == []
    if "`" not in command:
        assert problems(f"as in `{command}`") == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("gossipnode none", "gossipnode has no command none: correct the command"),
        ("gossipnode status --none", "gossipnode status has no option --none: correct the command"),
        ("gossipnode status -z", "gossipnode status has no option -z: correct the command"),
        ("gossipnode group none", "gossipnode group has no command none: correct the command"),
        ("python -m gossipnode get a/b/c --wait", "gossipnode get has no option --wait: correct the command"),
        ("true; gossipnode none | head", "gossipnode has no command none: correct the command"),
        ("run --none", "gossipnode run has no option --none: correct the command"),
        ("scripts/none --fast", "there is no scripts/none: correct the path"),
    ],
)
def test_commands_that_cannot_be_given(problems: Problems, command: str, problem: str) -> None:
    assert problems(f"# How\n    {command}\n") == [f"2: {problem}"]
    assert problems(f"One line,\nand `{command}`") == [f"2: {problem}"]


@pytest.mark.parametrize("argument", ["none", "--none"])
def test_a_benchmark_that_does_not_exist(problems: Problems, argument: str) -> None:
    (problem,) = problems(f"## Writes: `scripts/bench apply-1 {argument}`")
    assert problem.startswith("1: scripts/bench: ")
    assert argument in problem


def test_a_command_over_several_lines(problems: Problems) -> None:
    text = "\n    gossipnode run --name a \\\n        --data-dir d --none\n    gossipnode none\n"
    assert problems(text) == [
        "2: gossipnode run has no option --none: correct the command",
        "4: gossipnode has no command none: correct the command",
    ]


def test_prose_is_no_command(problems: Problems) -> None:
    assert problems("gossipnode none --none\n- a list\n    gossipnode none\n") == []
