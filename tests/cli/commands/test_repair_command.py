"""`repair`: rounds that are started, and what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, lines, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["repair", "sw", "--shard", "x"], ["--shard", "x"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


def test_what_became_of_a_round_is_told_once(ask_peer: Cli, peer: Peer) -> None:
    hop = messages.Hop(from_="a", to="b", outcome="repaired", sent=7)
    past = messages.Round(round="r1", group="sw", shard=0, outcome="repaired", hops=[hop])
    about: dict[str, Any] = {"round": "r1", "group": "sw", "shard": 0}
    peer.answers[services.NODE_REPAIR] = [
        messages.RoundEvent(**about),
        messages.RoundEvent(**about, hop=hop),
        messages.RoundEvent(**about, finished=past),
    ]
    ended = ask_peer("repair", "sw", "--wait")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("a to b") == 1
    assert "sw/0: repaired in 0.000 s (round r1)" in ended.out


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
