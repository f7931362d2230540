"""scripts/mutate_core: which mutants it makes, and which tests it asks first. Asking them takes minutes."""

from __future__ import annotations

import ast

import pytest

from tests.scripts.loading import REPOSITORY, load_script

mutate_core = load_script("mutate_core")


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
    assert [mutant.change for mutant in mutate_core.mutants_of("m", source)] == changes


def test_a_mutant_differs_in_one_place_and_names_its_line() -> None:
    (mutant,) = mutate_core.mutants_of("m", "x = a\n\ny = a == b\n")
    assert (mutant.module, mutant.line) == ("m", 3)
    assert mutant.source == "x = a\ny = a != b"


def test_every_module_of_the_core_can_be_changed() -> None:
    modules = mutate_core.read_modules()
    files = {
        path for path in (REPOSITORY / "gossipnode" / "core").rglob("*.py") if path.name != "__init__.py"
    }
    assert {REPOSITORY / "gossipnode" / "core" / f"{name}.py" for name in modules} == files
    assert all(ast.parse(source).body for source in modules.values())
    shortest_first = sorted(modules.items(), key=lambda module: len(module[1]))
    assert any(mutate_core.mutants_of(name, source) for name, source in shortest_first)


def test_tests_of_the_same_name_are_asked_first_then_those_that_import_the_module(tmp_path) -> None:
    tests = {
        "ring/test_a.py": "from gossipnode.core.ring.turn import Cause",
        "ring/test_turn.py": "from gossipnode.core.ring.turn import Cause",
        "test_other.py": "from gossipnode.core.ring.turns import Cause",
    }
    for path, text in tests.items():
        (tmp_path / "tests" / "core" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / "core" / path).write_text(text)
    found = mutate_core.likely_tests(tmp_path, "ring/turn")
    assert [path.as_posix() for path in found] == [
        "tests/core/ring/test_turn.py",
        "tests/core/ring/test_a.py",
    ]


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    mutants = mutate_core.mutants_of("m", "\n".join(f"x = {number}" for number in range(50)))
    sample = mutate_core.choose(mutants, 10, seed=1)
    assert sample == mutate_core.choose(mutants, 10, seed=1)
    assert sample != mutate_core.choose(mutants, 10, seed=2)
    assert [mutant.line for mutant in sample] == sorted({mutant.line for mutant in sample})
    assert mutate_core.choose(mutants, 0, seed=1) == mutants
