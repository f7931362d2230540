"""The options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossipnode.cli.command_classes import spread_values
from gossipnode.rpc import Method
from tests.cli.answers import COMMANDS
from tests.cli.conftest import Cli, Peer, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "sw/a/1", "-o", "xml"], ["-o", "xml", "table"]),
        (["get", "sw/a/1", "--at", "nowhere"], ["--at", "'nowhere' has no port"]),
        (["get", "sw/a/1", "--at", "h:99999"], ["--at", "no valid port"]),
        (["get", "sw/a/1", "--timeout", "soon"], ["--timeout", "soon"]),
        (["get", "sw/a/1", "--timeout", "0"], ["--timeout", "above 0"]),
        (["get", "sw/a/1", "--cert", "x"], ["--cert and --key belong together"]),
        (["get", "sw/a/1", "--cert", "x", "--key", "y"], ["--cert needs --ca"]),
        (["get", "sw/a/1", "--server-name", "a"], ["--server-name needs --ca"]),
        (["get", "sw/a/1", "--server-name", "", "--ca", "x"], ["--server-name", "expected text"]),
        (["get", "sw/a/1", "--ca", "/nowhere/ca.pem"], ["--ca", "/nowhere/ca.pem"]),
        (["get", "sw/a/1", "--ack", "most"], ["--ack", "'most'", "'local', 'one', 'quorum', 'all'"]),
        (["export", "sw", "--ack", ""], ["--ack", "''"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


def test_wrong_certificates(cli: Cli, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("nothing")
    files = [f"--{name}={tmp_path / name}" for name in ("ca", "cert", "key")]
    ended = cli("status", *files)
    assert ended.code == 2
    assert str(tmp_path / "ca") in ended.problem


def test_the_node_can_be_named_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSIPNODE_AT", "nowhere")
    assert "'nowhere' has no port" in cli("status").problem


@pytest.mark.usefixtures("one_line_on_standard_input")
@pytest.mark.parametrize("level", ["", "local", "one", "quorum", "all"])
@pytest.mark.parametrize(("arguments", "method", "answer"), COMMANDS, ids=[case[0][0] for case in COMMANDS])
def test_the_acknowledgement_is_passed_on_as_it_is(
    ask_peer: Cli, peer: Peer, arguments: list[str], method: Method[Any, Any], answer: Any, level: str
) -> None:
    peer.answers[method] = answer
    ended = ask_peer(*arguments, *(["--ack", level] if level else []))
    assert ended.code == 0, ended.err
    assert [request.ack for request in peer.asked] == [level]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", ""),
        ("x --join a b c -o json y", "x --join a --join b --join c -o json y"),
        ("--join a --join b c", "--join a --join b --join c"),
        ("--join=a b", "--join=a --join b"),
        ("--join --other a b", "--join --other a b"),
        ("--join a -- b c", "--join a -- b c"),
        ("--other a b", "--other a b"),
    ],
)
def test_several_values_of_one_option(arguments: str, expected: str) -> None:
    assert spread_values(arguments.split(), {"--join"}) == expected.split()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "--many", "--many=a", "--one", "-o", "--", "-"])))
def test_values_are_neither_lost_nor_moved(arguments: list[str]) -> None:
    spread = spread_values(arguments, {"--many"})
    assert [each for each in spread if each != "--many"] == [each for each in arguments if each != "--many"]
    assert spread_values(arguments, ()) == arguments
    assert spread_values(spread, {"--many"}) == spread


def test_a_misspelt_variable_is_an_error_of_every_command(
    ask_peer: Cli, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSIPNODE_ATT", "127.0.0.1:7401")
    ended = ask_peer("status")
    assert (ended.code, ended.out, peer.asked) == (2, "", [])
    assert "GOSSIPNODE_ATT: no setting has this name: did you mean GOSSIPNODE_AT?" in ended.problem


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_certificates_come_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in ("ca", "cert", "key"):
        monkeypatch.setenv(f"GOSSIPNODE_{each.upper()}", "/nowhere/x" if each == name else __file__)
    ended = cli("status")
    assert ended.code == 2
    assert ended.problem


@pytest.fixture
def profiles(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del cli  # it takes the variables of the environment away
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "gossipnode").mkdir()
    (tmp_path / "gossipnode/profiles.toml").write_text(
        '[one]\nat = "127.0.0.1:1"\n[tls]\nat = "127.0.0.1:1"\nca = "no.pem"\n'
    )


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("environment", "arguments", "asked"),
    [
        ({}, ["--profile", "one"], "127.0.0.1:1"),
        ({}, ["--profile", "one", "--at", "127.0.0.1:2"], "127.0.0.1:2"),
        ({}, ["--at", "127.0.0.1:2", "--profile", "one"], "127.0.0.1:2"),
        ({"AT": "127.0.0.1:3"}, ["--profile", "one"], "127.0.0.1:1"),
        ({"AT": "127.0.0.1:3", "PROFILE": "one"}, [], "127.0.0.1:3"),
        ({"PROFILE": "one"}, [], "127.0.0.1:1"),
        ({"PROFILE": "tls"}, ["--profile", "one"], "127.0.0.1:1"),
    ],
)
def test_a_profile_stands_in_for_what_was_not_given(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], arguments: list[str], asked: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"GOSSIPNODE_{name}", value)
    ended = cli("status", *arguments)
    assert ended.code == 4
    assert f"no node answers at {asked}:" in ended.problem


@pytest.mark.usefixtures("profiles")
def test_a_profile_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    refused(cli, ["status", "--profile", "ones"], ["--profile", "no profile is called 'ones'", "'one'?"])
    refused(cli, ["status", "--profile", "tls"], ["--ca", str(tmp_path / "gossipnode/no.pem")])
    (tmp_path / "gossipnode/profiles.toml").unlink()
    refused(cli, ["status", "--profile", "one"], ["--profile", "profiles.toml does not exist"])
