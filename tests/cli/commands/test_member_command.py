"""`member`: what is asked, what is printed, and how it ends, against a peer with set answers."""

from __future__ import annotations

import json

import pytest

from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, refused


def test_forget(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_FORGET_MEMBER] = messages.ForgetMemberResponse(acknowledged=2, members=3)
    ended = ask_peer("member", "forget", "c", "-o", "json")
    assert ended.code == 0
    assert json.loads(ended.out) == {"name": "c", "acknowledged": 2, "members": 3}
    assert ended.err.startswith("2 of 3 members know by now")
    assert "2 of 3" in ask_peer("member", "forget", "c").out
    assert peer.asked == [messages.ForgetMemberRequest(name="c")] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["member", "forget"], ["Missing argument 'NAME'"]),
        (["member", "forget", "a b"], ["'a b' is no node name"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)
