"""The programs of docs/client.md: the page has their text, and they do what it says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gossipnode import client
from tests.system.nodes import Nodes
from tests.system.processes import WAIT_SECONDS, Node

ROOT = Path(__file__).parents[2]
PROGRAMS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
PAGE = (ROOT / "docs" / "client.md").read_text()


def test_the_page_has_every_program_as_it_is() -> None:
    assert len(PROGRAMS) == 5
    for path in PROGRAMS.values():
        assert f"examples/{path.name}\n```python\n{path.read_text()}```\n" in PAGE
    assert PAGE.count("### ") == len(PROGRAMS)


def test_the_page_names_what_is_there() -> None:
    """The page names every error and every method of a client."""
    errors = {name for name in client.__all__ if name.endswith("Error")}
    named = {word.strip("`,*(") for word in PAGE.split() if word.strip("`,*(s").endswith("Error")}
    assert errors <= named | {"ClientError"}
    for name in vars(client.Client):
        if not name.startswith("_"):
            assert f"{name}(" in PAGE


def test_the_programs_import_nothing_but_the_public_names() -> None:
    for path in PROGRAMS.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gossipnode"):
                assert node.module == "gossipnode.client"
                assert {name.name for name in node.names} <= set(client.__all__)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made.start("a", "b", groups=["examples:1:2"])
    made.end_all()


def run_program(name: str, *addresses: str, **environment: str) -> list[str]:
    """The lines that a program prints. It must end with code 0 and write nothing to stderr."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIPNODE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAMS[name]), *addresses],
        capture_output=True,
        text=True,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "service_registry",
            ["serving: ['10.0.0.7:8080', '10.0.0.8:8080']", "after web-2 has left: ['10.0.0.7:8080']"],
        ),
        ("feature_flags", ["dark-mode is off", "dark-mode is on"]),
        (
            "device_settings",
            [
                "stored on",
                "tag 'rooms': an empty list has no type: write StrArray(()) or IntArray(())",
                r"{'interval': 10, 'limits': [5, 35], 'rooms': [], 'key': b'\x01\x02', 'note': None}",
                "ask often: ['sensor-17']",
            ],
        ),
        ("fail_over", ["members: ['a is up', 'b is up']", "events: 50", "last event: 49"]),
    ],
)
def test_a_program(nodes: list[Node], name: str, lines: list[str]) -> None:
    printed = run_program(name, *[node.address for node in nodes])
    assert len(printed) == len(lines)
    for line, wanted in zip(printed, lines, strict=True):
        assert line.startswith(wanted)


@pytest.mark.slow
def test_the_program_about_consistency(nodes: list[Node]) -> None:
    printed = run_program("consistency_levels", nodes[0].address)
    assert printed[:2] == ["signed, on 2 of 2", "for sure: signed"]
    # One replica alone may not have it yet.
    assert printed[2] in ("perhaps: signed", "perhaps: draft", "perhaps: none")


@pytest.mark.slow
def test_a_program_takes_the_address_from_the_environment(nodes: list[Node]) -> None:
    printed = run_program("service_registry", GOSSIPNODE_AT=nodes[0].address)
    assert printed[0].startswith("serving: ")
