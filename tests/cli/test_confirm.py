"""Commands that destroy something ask on a terminal, and nowhere else."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from gossipnode.cli.command_classes import CommandGroup
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer, run_process
from tests.cli.test_command_classes import COMMANDS
from tests.cli.test_terminal import on_terminal

DESTRUCTIVE = {
    "group delete": (
        ["group", "delete", "sw"],
        "delete the group sw and all of its records, on every member",
    ),
    "member forget": (["member", "forget", "c"], "forget the member c for good"),
}
ASKED = {
    "group delete": messages.DeleteGroupRequest(name="sw"),
    "member forget": messages.ForgetMemberRequest(name="c"),
}


@pytest.fixture
def answering(peer: Peer) -> Peer:
    group = messages.Group(name="sw", shards=1, replicas=1, ack="one")
    peer.answers = {
        services.NODE_DELETE_GROUP: messages.GroupResponse(group=group, acknowledged=1, members=1),
        services.NODE_FORGET_MEMBER: messages.ForgetMemberResponse(acknowledged=1, members=1),
    }
    return peer


@pytest.fixture(params=DESTRUCTIVE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def type_in(monkeypatch: pytest.MonkeyPatch, typed: bytes, *, stderr_is_terminal: bool = True) -> None:
    """Let standard input be a terminal at which this is typed."""
    stdin = SimpleNamespace(buffer=io.BytesIO(typed), isatty=lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr_is_terminal)


def test_these_commands_and_no_others_take_yes() -> None:
    taking = [
        name for name, command in COMMANDS.items() if any("--yes" in each.opts for each in command.params)
    ]
    # `recover` asks no node, and is tested with its data directory.
    assert sorted(taking) == sorted([*DESTRUCTIVE, "recover"])
    assert not any(isinstance(command, CommandGroup) for command in COMMANDS.values())


@pytest.mark.parametrize("typed", [b"y\n", b"YES\n", b" yes \r\n", b"y"])
def test_a_yes_at_the_terminal(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str, typed: bytes
) -> None:
    type_in(monkeypatch, typed)
    ended = ask_peer(*DESTRUCTIVE[name][0])
    assert ended.code == 0
    assert ended.err.startswith(f"{DESTRUCTIVE[name][1]}")
    assert f"(asked at {answering.address})? [y/N] " in ended.err
    assert answering.asked == [ASKED[name]]


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"", b"yeah\n", b"\xff\n", b"sw\n"])
def test_anything_else_is_a_no(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str, typed: bytes
) -> None:
    type_in(monkeypatch, typed)
    ended = ask_peer(*DESTRUCTIVE[name][0], "-o", "json")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("gossipnode: not confirmed: nothing was changed\n")
    assert answering.asked == []


def test_ctrl_c_at_the_question_changes_nothing(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def interrupted() -> bytes:
        raise KeyboardInterrupt

    type_in(monkeypatch, b"")
    monkeypatch.setattr("sys.stdin.buffer", SimpleNamespace(readline=interrupted))
    ended = ask_peer(*DESTRUCTIVE[name][0])
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.endswith("[y/N] \ngossipnode: interrupted\n")
    assert answering.asked == []


def test_yes_answers_before_anybody_is_asked(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    type_in(monkeypatch, b"n\n")
    ended = ask_peer(*DESTRUCTIVE[name][0], "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert answering.asked == [ASKED[name]]


def test_a_question_that_nobody_would_read_is_not_asked(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    type_in(monkeypatch, b"y\n", stderr_is_terminal=False)
    ended = ask_peer(*DESTRUCTIVE[name][0])
    assert (ended.code, ended.out) == (2, "")
    assert "add --yes" in ended.problem
    assert answering.asked == []


@pytest.mark.slow
@pytest.mark.parametrize("stdin", ["", "n\n"])
def test_without_a_terminal_nobody_is_asked(answering: Peer, name: str, stdin: str) -> None:
    ended = run_process(*DESTRUCTIVE[name][0], "--at", answering.address, input=stdin.encode())
    assert (ended.code, ended.err) == (0, "")
    assert answering.asked == [ASKED[name]]


def test_a_closed_standard_input_is_no_terminal(
    ask_peer: Cli, answering: Peer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert ask_peer(*DESTRUCTIVE[name][0]).code == 0
    assert answering.asked == [ASKED[name]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "code"), [(b"y\n", 0), (b"yes\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1)]
)
def test_on_a_real_terminal(answering: Peer, name: str, typed: bytes, code: int) -> None:
    arguments, question = DESTRUCTIVE[name]
    ended, shown = on_terminal(100, *arguments, "--at", answering.address, typed=typed)
    assert ended == code
    assert question in " ".join(shown.split())
    assert answering.asked == [ASKED[name]] * (code == 0)
    if code:
        assert shown.endswith("\ngossipnode: not confirmed: nothing was changed\n")


@pytest.mark.slow
def test_yes_on_a_real_terminal(answering: Peer, name: str) -> None:
    ended, shown = on_terminal(100, *DESTRUCTIVE[name][0], "--yes", "--at", answering.address)
    assert ended == 0
    assert "[y/N]" not in shown


@pytest.mark.slow
def test_a_name_in_a_question_is_printable(answering: Peer) -> None:
    nasty = "a\x1b[2Jb"
    ended, shown = on_terminal(200, "group", "delete", nasty, "--at", answering.address, typed=b"n\n")
    assert ended == 1
    assert all(line.isprintable() for line in shown.split("\n"))
