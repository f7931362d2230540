"""The tests in docs/testing-your-application.md: the page has their text, and they pass as they are."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from gossipnode.sim.testing import BlockingFaults, FaultInjector

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "examples" / "testing"
PAGE = (ROOT / "docs" / "testing-your-application.md").read_text()
EXAMPLES = ("test_under_trio.py", "test_under_asyncio.py")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_has_the_example_as_it_is(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert f"examples/testing/{name}\n```python\n{text}```\n" in PAGE


def test_the_page_has_all_examples() -> None:
    assert {path.name for path in FOLDER.glob("test_*.py")} == set(EXAMPLES)


def faults_of(injector: type) -> dict[str, list[str]]:
    """The faults, each with the names of its arguments."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in vars(injector).items()
        if not name.startswith("_")
    }


def test_both_injectors_take_the_same_and_the_page_names_all_of_it() -> None:
    assert faults_of(FaultInjector) == faults_of(BlockingFaults)
    for name in faults_of(FaultInjector):
        assert f"| `{name}(" in PAGE


@pytest.mark.slow
def test_the_examples_pass_as_they_are(pytester: pytest.Pytester) -> None:
    for path in FOLDER.glob("*.py"):
        (pytester.path / path.name).write_text(path.read_text())
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers")
    result.assert_outcomes(passed=4)
