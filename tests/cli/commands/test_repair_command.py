"""`repair`: rounds that are started, and what became of them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["repair", "sw", "--shard", "x"], ["--shard", "x"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.slow
def test_repair(ask: Cli) -> None:
    started = lines(ask("repair", "many", "-o", "json"))
    assert [(one["group"], one["shard"]) for one in started] == [("many", 0), ("many", 1)]
    finished = lines(ask("repair", "many", "--wait", "-o", "json"))
    assert [(one["shard"], one["outcome"], one["hops"]) for one in finished] == [
        (0, "converged", []),
        (1, "converged", []),
    ]
    assert list(finished[0]) == ["round", "group", "shard", "origin", "outcome", "seconds", "hops"]
