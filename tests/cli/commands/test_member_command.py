"""`member`: what is asked, what is printed, and how it ends, against a peer with set answers."""

from __future__ import annotations

import json

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, refused


def test_forget_one_that_does_not_answer(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_FORGET_MEMBER] = messages.ForgetMemberResponse(
        acknowledged=1, members=2, epoch=9
    )
    ended = ask_peer("member", "forget", "c", "-o", "json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "name": "c", "epoch": 9, "leaving": False, "acknowledged": 1, "members": 2,
    }  # fmt: skip
    assert ended.err.startswith("1 of 2 members know by now")
    table = ask_peer("member", "forget", "c").out.splitlines()
    assert table[-1].split() == ["c", "forgotten", "9", "1", "of", "2"]
    assert peer.asked == [messages.ForgetMemberRequest(name="c")] * 2


def test_forget_one_that_answers(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_FORGET_MEMBER] = messages.ForgetMemberResponse(
        acknowledged=3, members=3, epoch=9, leaving=True
    )
    ended = ask_peer("member", "forget", "c", "-o", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "name": "c", "epoch": 9, "leaving": True, "acknowledged": 3, "members": 3,
    }  # fmt: skip
    assert "leaves, once it has handed over" in ask_peer("member", "forget", "c").out


def test_forget_by_force_and_with_loss(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_FORGET_MEMBER] = messages.ForgetMemberResponse(acknowledged=1, members=1)
    for options in (["--force"], ["--accept-loss"], ["--force", "--accept-loss"]):
        assert ask_peer("member", "forget", "c", *options).code == 0
    assert peer.asked == [
        messages.ForgetMemberRequest(name="c", force=True),
        messages.ForgetMemberRequest(name="c", accept_loss=True),
        messages.ForgetMemberRequest(name="c", force=True, accept_loss=True),
    ]


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (Status.NOT_FOUND, 3, "there is no member 'c': see `members`"),
        (Status.FAILED_PRECONDITION, 1, "c cannot be dropped without losing acknowledged writes"),
        (Status.UNAVAILABLE, 4, "1 of 3 members agreed (b: no answer in 2 s; c: cannot be reached)"),
    ],
)
def test_what_a_refusal_ends_as(ask_peer: Cli, peer: Peer, status: Status, code: int, why: str) -> None:
    peer.answers[services.NODE_FORGET_MEMBER] = RpcError(status, why)
    ended = ask_peer("member", "forget", "c")
    assert (ended.code, ended.out) == (code, "")
    assert why in ended.problem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["member", "forget"], ["Missing argument 'NAME'"]),
        (["member", "forget", "a b"], ["'a b' is no node name"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)
