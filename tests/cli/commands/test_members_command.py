"""`members`: the members, as one node sees them."""

from __future__ import annotations

import json

import pytest

from gossipnode import __version__
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, lines

KEYS = ["name", "address", "state", "role", "birth", "boot", "version", "moves", "leaf_json"]
BIRTH = 2**64 - 1


def status(epoch: int) -> messages.StatusResponse:
    return messages.StatusResponse(
        epoch=epoch,
        members=[
            messages.Member(
                name="a",
                address="h:1",
                state="up",
                role="leaving",
                birth=f"{BIRTH:016x}",
                version="1",
                moves=7,
                boot=3,
            ),
            messages.Member(name="p", address="h:2", state="unknown", role="foreign", leaf_json="commas"),
        ],
    )


def test_members_as_json(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(5)
    leaving, foreign = map(json.loads, ask_peer("members", "-o", "json").out.splitlines())
    assert list(leaving) == list(foreign) == KEYS
    assert tuple(leaving.values()) == ("a", "h:1", "up", "leaving", f"{BIRTH:016x}", 3, "1", 7, None)
    assert tuple(foreign.values()) == ("p", "h:2", "unknown", "foreign", None, None, None, 0, "commas")


def test_members_as_a_table_with_their_epoch(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(5)
    table = ask_peer("members").out.splitlines()
    assert table[0].split() == KEYS
    assert table[2].split() == ["a", "h:1", "up", "leaving", f"{BIRTH:016x}", "3", "1", "7"]
    assert table[3].split() == ["p", "h:2", "unknown", "foreign", "commas"]
    assert table[-1] == "epoch 5"


def test_members_of_a_cluster_that_is_not_formed(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = status(0)
    assert ask_peer("members").out.splitlines()[-1] == "no cluster is formed yet: see `status`"


@pytest.mark.slow
def test_the_one_member_of_a_cluster_of_one(ask: Cli) -> None:
    (member,) = lines(ask("members", "-o", "json"))
    assert list(member) == KEYS
    assert (member["name"], member["state"], member["role"], member["moves"]) == ("a", "up", "member", 0)
    assert member["version"] == __version__
    assert member["birth"]
    assert member["boot"] == 1
