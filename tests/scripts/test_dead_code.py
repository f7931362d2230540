"""scripts/dead_code, on small trees of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.loading import load_script

dead_code = load_script("dead_code")

Problems = Callable[..., list[str]]
NOTHING_ALLOWED = dead_code.Allowed()


@pytest.fixture
def problems(tmp_path: Path) -> Problems:
    """Write files, given by path, and check them."""

    def check(files: dict[str, str], allowed: object = NOTHING_ALLOWED) -> list[str]:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return list(dead_code.problems(tmp_path, allowed))

    return check


DEFINED = "\ndef helper(): ...\n"
USED = "from gossipnode.a import helper\nhelper()\n"


@pytest.mark.parametrize(
    "place", ["gossipnode/b.py", "examples/b.py", "noxfile.py", "scripts/benchmarks/b.py"]
)
def test_what_is_used(problems: Problems, place: str) -> None:
    assert problems({"gossipnode/a.py": DEFINED, place: USED}) == []


def test_what_a_script_without_suffix_uses(problems: Problems) -> None:
    script = "#!/usr/bin/env python3\n" + USED
    assert problems({"gossipnode/a.py": DEFINED, "scripts/b": script, "scripts/c": "#!/bin/sh\nif\n"}) == []


@pytest.mark.parametrize("place", ["gossipnode/a.py", "tests/test_a.py", "scripts/a.py", "examples/a.py"])
def test_what_is_not_used(problems: Problems, place: str) -> None:
    (problem,) = problems({place: DEFINED})
    assert problem == (
        f"{place}:2: unused function 'helper': delete it, or allow it in scripts/dead_code with a reason"
    )


def test_what_only_a_test_uses(problems: Problems) -> None:
    (problem,) = problems({"gossipnode/a.py": DEFINED, "tests/test_a.py": USED})
    assert problem.startswith("gossipnode/a.py:2: unused function 'helper': only tests use it")


def test_generated_code_may_have_more_than_is_used(problems: Problems) -> None:
    assert problems({"gossipnode/wire/generated/a.py": DEFINED}) == []


def test_what_is_looked_up_by_its_name_in_its_own_file(problems: Problems) -> None:
    assert problems({"tests/test_a.py": DEFINED + "globals()['helper']()\n"}) == []
    assert len(problems({"tests/test_a.py": DEFINED, "tests/test_b.py": "['helper']\n"})) == 1


@pytest.mark.parametrize(("statement", "count"), [("yield", 0), ("print()", 1)])
def test_what_is_never_reached(problems: Problems, statement: str, count: int) -> None:
    found = problems({"tests/test_a.py": f"def test_a():\n    return\n    {statement}\n"})
    assert [problem.partition(":")[0] for problem in found] == ["tests/test_a.py"] * count


def test_what_is_allowed(problems: Problems) -> None:
    in_product = dead_code.Allowed(in_product={"helper": "a reason"})
    assert problems({"gossipnode/a.py": DEFINED, "tests/test_a.py": USED}, in_product) == []
    anywhere = dead_code.Allowed(anywhere={"helper": "a reason"})
    assert problems({"gossipnode/a.py": DEFINED, "tests/test_a.py": ""}, anywhere) == []


@pytest.mark.parametrize("kind", ["anywhere", "in_product"])
def test_what_is_used_must_not_be_allowed(problems: Problems, kind: str) -> None:
    allowed = dead_code.Allowed(**{kind: {"helper": "a reason"}})
    (problem,) = problems({"gossipnode/a.py": DEFINED, "gossipnode/b.py": USED}, allowed)
    assert problem == "scripts/dead_code:1: nothing needs 'helper' any more: take it out of ALLOWED"
