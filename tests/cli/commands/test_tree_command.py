"""`tree`: the digests that a node keeps of a shard."""

from __future__ import annotations

import json

import pytest

from gossipnode.wire import services
from gossipnode.wire.shown_codec import encode_tree
from tests.cli.conftest import Cli, Peer, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tree", "sw"], ["--shard"]),
        (["tree", "sw", "--shard", "-1"], ["--shard", "-1"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_shard_that_the_node_does_not_hold(ask_peer: Cli, peer: Peer, output: str) -> None:
    peer.answers[services.NODE_TREE] = [encode_tree(None)]
    ended = ask_peer("tree", "sw", "--shard", "0", "--leaves", "-o", output)
    assert ended.code == 3
    assert ended.problem == f"sw/0: {peer.address} holds no copy of it; `status` names the replicas"
    wanted = {"group": "sw", "shard": 0, "state": "missing", "root": "", "slots": [], "leaves": []}
    assert ended.out == ("" if output == "table" else json.dumps(wanted) + "\n")


@pytest.mark.slow
def test_the_tree_of_a_real_node(ask: Cli) -> None:
    ask("apply", "sw/tree/1", "a=1")
    # The status waits only for a while until a root is computed, a tree until it is there.
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "-o", "json"))
    (status,) = lines(ask("status", "-o", "json"))
    shards = status["shards"]
    assert isinstance(shards, list)
    assert list(tree) == ["group", "shard", "state", "root", "slots"]
    assert (tree["state"], tree["root"]) == ("ready", shards[2]["root"])
    (tree,) = lines(ask("tree", "sw", "--shard", "0", "--leaves", "-o", "json"))
    leaves = tree["leaves"]
    assert isinstance(leaves, list)
    leaf = next(leaf for leaf in leaves if leaf["name"] == "tree")
    assert list(leaf) == ["group", "name", "id", "slot", "sha", "mod_revision", "delete_time"]
