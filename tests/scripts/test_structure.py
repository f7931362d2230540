"""scripts/structure: each rule is broken once, in a small tree of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.loading import load_script

structure = load_script("structure")

Problems = Callable[..., list[str]]
NOTHING_ALLOWED = structure.Allowed()


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    """Write files, given by path, and check them."""
    (tmp_path / "scripts").mkdir()

    def check(files: dict[str, str], allowed: object = NOTHING_ALLOWED) -> list[str]:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return list(structure.problems(structure.read_modules(tmp_path), allowed))

    return check


def function(lines: int) -> str:
    return "def long() -> None:\n" + "    pass\n" * (lines - 1)


def test_a_module_may_have_400_lines(problems: Problems) -> None:
    assert problems({"gossipnode/a.py": "pass\n" * 400}) == []


@pytest.mark.parametrize("path", ["gossipnode/core/a.py", "tests/test_a.py", "examples/a.py", "noxfile.py"])
def test_a_module_that_is_too_long(problems: Problems, path: str) -> None:
    (problem,) = problems({path: "pass\n" * 401})
    assert problem == f"{path}:401: 401 lines, at most 400: move one of its ideas to a module of its own"


def test_a_script_without_suffix_is_a_module(problems: Problems) -> None:
    (problem,) = problems({"scripts/a": "#!/usr/bin/env python3\n" + "pass\n" * 400})
    assert problem.startswith("scripts/a:401: 401 lines")


def test_a_shell_script_is_none(problems: Problems) -> None:
    assert problems({"scripts/a": "#!/usr/bin/env bash\n" + "if\n" * 400}) == []


def test_generated_code_is_left_out(problems: Problems) -> None:
    assert problems({"gossipnode/wire/generated/__init__.py": function(401)}) == []


def test_a_function_may_have_50_lines(problems: Problems) -> None:
    assert problems({"gossipnode/a.py": function(50)}) == []


def test_a_function_that_is_too_long(problems: Problems) -> None:
    (problem,) = problems(
        {"tests/test_a.py": "class A:\n    async " + function(51).replace("    ", "        ")}
    )
    assert problem == "tests/test_a.py:2: long() has 51 lines, at most 50: take a step out of it"


def test_a_package_needs_a_docstring(problems: Problems) -> None:
    (problem,) = problems(
        {"gossipnode/core/__init__.py": "x = 1\n", "gossipnode/a/__init__.py": '"""A room."""\n'}
    )
    assert problem == (
        "gossipnode/core/__init__.py:1: no docstring: say what is in the room and where to begin"
    )


def test_a_package_of_tests_needs_no_docstring(problems: Problems) -> None:
    assert problems({"tests/core/__init__.py": ""}) == []


def modules(folder: str, count: int) -> dict[str, str]:
    return {f"{folder}/__init__.py": '"""A room."""\n'} | {f"{folder}/m{at}.py": "" for at in range(count)}


def test_a_folder_may_have_14_modules(problems: Problems) -> None:
    assert problems(modules("gossipnode/core", 14)) == []


def test_a_folder_that_is_too_full(problems: Problems) -> None:
    (problem,) = problems(modules("gossipnode/core", 15))
    assert problem.startswith("gossipnode/core/: 15 modules, at most 14: make a room")


def test_a_full_folder_that_is_allowed(problems: Problems) -> None:
    allowed = structure.Allowed(folders={"gossipnode/core": "a list of like things"})
    assert problems(modules("gossipnode/core", 15), allowed) == []


def test_a_module_name_in_two_rooms(problems: Problems) -> None:
    (problem,) = problems({"gossipnode/a/tree.py": "", "gossipnode/b/tree.py": "", "tests/b/tree.py": ""})
    assert problem.startswith(
        "gossipnode/b/tree.py:1: module tree stands in gossipnode/a/tree.py:1, too: rename"
    )


def test_a_module_name_that_is_allowed(problems: Problems) -> None:
    allowed = structure.Allowed(modules={"tree": "the same thing"})
    assert problems({"gossipnode/a/tree.py": "", "gossipnode/b/tree.py": ""}, allowed) == []


def test_a_class_name_in_two_modules(problems: Problems) -> None:
    (problem,) = problems(
        {
            "gossipnode/a.py": "class Node: ...\n",
            "gossipnode/b.py": "\nclass Node: ...\n",
            "tests/test_b.py": "class Node: ...\n",
        }
    )
    assert problem.startswith("gossipnode/b.py:2: class Node stands in gossipnode/a.py:1, too: rename one")


def test_a_class_name_twice_in_one_module(problems: Problems) -> None:
    assert problems({"gossipnode/a.py": "if x:\n    class A: ...\nelse:\n    class A: ...\n"}) == []


def test_a_class_name_that_is_allowed(problems: Problems) -> None:
    allowed = structure.Allowed(classes={"Node": "the same thing"})
    assert (
        problems({"gossipnode/a.py": "class Node: ...\n", "gossipnode/b.py": "class Node: ...\n"}, allowed)
        == []
    )


@pytest.mark.parametrize("kind", ["folders", "modules", "classes"])
def test_what_breaks_no_rule_must_not_be_allowed(problems: Problems, kind: str) -> None:
    allowed = structure.Allowed(**{kind: {"nothing": "a reason"}})
    (problem,) = problems({}, allowed)
    assert problem == "scripts/structure:1: nothing needs 'nothing' any more: take it out of ALLOWED"
