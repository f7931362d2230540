"""`tree`: the digests that a node keeps of a shard."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tree", "sw"], ["--shard"]),
        (["tree", "sw", "--shard", "-1"], ["--shard", "-1"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.slow
def test_the_tree_of_a_real_node(ask: Cli) -> None:
    ask("apply", "sw/tree/1", "a=1")
    (status,) = lines(ask("status", "-o", "json"))
    shards = status["shards"]
    assert isinstance(shards, list)
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "-o", "json"))
    assert list(tree) == ["group", "shard", "state", "root", "slots"]
    assert (tree["state"], tree["root"]) == ("ready", shards[2]["root"])
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "--leaves", "-o", "json"))
    leaves = tree["leaves"]
    assert isinstance(leaves, list)
    leaf = next(leaf for leaf in leaves if leaf["name"] == "tree")
    assert list(leaf) == ["group", "name", "id", "slot", "sha", "mod_revision", "delete_time"]
