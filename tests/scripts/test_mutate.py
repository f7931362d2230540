"""scripts/mutate: which mutants it makes, and which tests it asks first. Asking them takes minutes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.scripts.loading import REPOSITORY, load_script

mutate = load_script("mutate")


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("x = a < b", ["x = a < b  ->  x = a <= b"]),
        ("x = a and not b", ["x = a and (not b)  ->  x = a or not b", "x = a and (not b)  ->  x = a and b"]),
        ("x = 3", ["x = 3  ->  x = 4"]),
        ("x = True", ["x = True  ->  x = False"]),
        ("x = a + b", ["x = a + b  ->  x = a - b"]),
        ("def f():\n    return a", ["return a  ->  return"]),
        ("def f():\n    return None", []),
        # Left alone.
        ("assert a < b", []),
        ("x: Literal[3]", []),
        ("class A:\n    x: int = 3", []),
        ("raise ValueError(f'{a + 1}')", []),
    ],
)
def test_the_mutants_of_a_source(source: str, changes: list[str]) -> None:
    assert [mutant.change for mutant in mutate.mutants_of("m", source)] == changes


def test_a_mutant_differs_in_one_place_and_names_its_line() -> None:
    (mutant,) = mutate.mutants_of("m", "x = a\n\ny = a == b\n")
    assert (mutant.module, mutant.line) == ("m", 3)
    assert mutant.source == "x = a\ny = a != b"


@pytest.mark.parametrize("name", mutate.ROOMS)
def test_every_module_of_a_room_can_be_changed(name: str) -> None:
    room = mutate.ROOMS[name]
    modules = mutate.read_modules(room)
    folder = REPOSITORY / "gossipnode" / name
    files = {path for path in folder.rglob("*.py") if path.name != "__init__.py"}
    assert {folder / f"{module}.py" for module in modules} == files
    assert all(ast.parse(source).body for source in modules.values())
    shortest_first = sorted(modules.items(), key=lambda module: len(module[1]))
    assert any(mutate.mutants_of(module, source) for module, source in shortest_first)


@pytest.mark.parametrize("name", mutate.ROOMS)
def test_what_a_room_is_tested_by_exists_and_is_copied(name: str) -> None:
    room = mutate.ROOMS[name]
    assert room.tests[0] == Path("tests") / name
    for needed in (room.source, *room.tests):
        assert (REPOSITORY / needed).exists()
        assert any(needed.is_relative_to(part) for part in room.copied)


def test_the_copy_of_the_core_has_nothing_else_of_ours_and_settings_of_its_own(tmp_path: Path) -> None:
    mutate.prepare(tmp_path, mutate.ROOMS["core"])
    assert {path.name for path in (tmp_path / "gossipnode").iterdir()} == {"__init__.py", "core"}
    assert "-p no:trio" in (tmp_path / "pytest.ini").read_text()


def test_tests_of_the_same_name_are_asked_first_then_those_that_import_the_module(tmp_path: Path) -> None:
    tests = {
        "ring/test_a.py": "from gossipnode.core.ring.turn import Cause",
        "ring/test_turn_courses.py": "from gossipnode.core.ring.turn import Cause",
        # Named after the module, which it meets through something else.
        "test_turn.py": "from gossipnode.core.ring.round import RoundWatch",
        "test_turns.py": "from gossipnode.core.ring.turns import Cause",
    }
    for path, text in tests.items():
        (tmp_path / "tests" / "core" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / "core" / path).write_text(text)
    found = mutate.likely_tests(tmp_path, mutate.ROOMS["core"], "ring/turn")
    assert [path.as_posix() for path in found] == [
        "tests/core/ring/test_turn_courses.py",
        "tests/core/test_turn.py",
        "tests/core/ring/test_a.py",
    ]


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    mutants = mutate.mutants_of("m", "\n".join(f"x = {number}" for number in range(50)))
    sample = mutate.choose(mutants, 10, seed=1)
    assert sample == mutate.choose(mutants, 10, seed=1)
    assert sample != mutate.choose(mutants, 10, seed=2)
    assert [mutant.line for mutant in sample] == sorted({mutant.line for mutant in sample})
    assert mutate.choose(mutants, 0, seed=1) == mutants
