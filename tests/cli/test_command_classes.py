"""What all commands have in common: the judgement of texts, paths and variables before they begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gossipnode.cli.command_classes import Command, CommandGroup
from gossipnode.cli.main import gossipnode
from tests.cli.conftest import Cli, refused

ARGUMENTS = {
    "apply": ["sw/n/i", "a=x"],
    "get": ["sw/n/i"],
    "delete": ["sw/n/i"],
    "query": ["sw"],
    "watch": ["sw"],
    "wait": ["sw/n/i"],
    "explain": ["sw/n/i"],
    "import": ["sw", "-"],
    "export": ["sw"],
    "repair": ["sw"],
    "tree": ["sw", "--shard", "0"],
    "diff": ["a", "b", "sw"],
    "verify": ["--data-dir", "."],
    "snapshot": ["nightly"],
    "restore": [".", "--data-dir", "."],
    "recover": ["--data-dir", "."],
    "member forget": ["a"],
    "certs node": ["a"],
    "certs client": ["a", "--role", "reader"],
    "group create": ["sw", "--shards", "1", "--replicas", "1"],
    "group alter": ["sw", "--no-index"],
    "group show": ["sw"],
    "group delete": ["sw"],
}
"""What a command needs to be complete."""
NOT_UTF_8 = "\udcff\udc9b"
"""As Python gives it: two bytes of the command line."""


def every_command(
    inside: click.Group = gossipnode, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(inside)
    for name in inside.list_commands(context):
        found = inside.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from every_command(found, (*before, name))
        else:
            yield " ".join((*before, name)), found


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_variable(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("GOSSIPNODE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("GOSSIPNODE_PORT_7400_TCP", "tcp://10.0.0.1:7400")
    monkeypatch.setenv("GOSSIPNODE_NOED_NAME", "a\x1b[2J")
    arguments = [*name.split(), *ARGUMENTS.get(name, [])]
    refused(cli, arguments, ["GOSSIPNODE_NOED_NAME", "did you mean GOSSIPNODE_NODE_NAME?"])
    assert cli(*name.split(), "--help").code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_of_our_classes(name: str) -> None:
    assert isinstance(COMMANDS[name], Command)
    assert isinstance(gossipnode, CommandGroup)


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", NOT_UTF_8],
        ["query", "sw", "--name", NOT_UTF_8],
        ["query", "sw", "--id", "i", "--id", NOT_UTF_8],
        ["query", "sw", "--where", f'a = "{NOT_UTF_8}"'],
        ["query", "sw", "--select", NOT_UTF_8],
        ["query", "sw", "--order-by", NOT_UTF_8],
        ["query", "sw", "--after", f"sw/n/{NOT_UTF_8}"],
        ["export", NOT_UTF_8],
        ["import", NOT_UTF_8, "-"],
        ["repair", NOT_UTF_8],
        ["tree", NOT_UTF_8, "--shard", "0"],
        ["run", "--peer", f"{NOT_UTF_8}=h:1", "--name", "a", "--listen", "h:1"],
        ["group", "create", NOT_UTF_8, "--shards", "1", "--replicas", "1"],
        ["group", "show", NOT_UTF_8],
        ["member", "forget", NOT_UTF_8],
        ["apply", "sw/n/i", f"a={NOT_UTF_8}"],
        ["get", f"sw/{NOT_UTF_8}/i"],
    ],
)
def test_a_text_that_is_not_utf_8(cli: Cli, arguments: list[str]) -> None:
    refused(cli, arguments, [r"\udcff\udc9b"])


def test_a_path_may_be_any_bytes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / NOT_UTF_8).mkdir()
    ended = cli("verify", "--data-dir", str(tmp_path / NOT_UTF_8))
    assert (ended.code, ended.out) == (1, "")
    assert r"\udcff\udc9b: name the data directory" in ended.problem
    ended = cli("run", "--name", "a", "--listen", "h:1", "--data-dir", NOT_UTF_8, "--check-config")
    assert r"data directory: \udcff\udc9b" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--data-dir", ""],
        ["run", "--config", ""],
        ["run", "--name", "a", "--listen", "h:1", "--data-dir", ""],
        ["run", "--name", "a", "--listen", "h:1", "--ca", ""],
        ["cluster", "--dir", ""],
        ["import", "sw", ""],
        ["status", "--ca", ""],
        ["query", ""],
        ["query", "sw", ""],
        ["export", ""],
        ["import", "", "-"],
        ["repair", ""],
        ["tree", "", "--shard", "0"],
        ["group", "create", "", "--shards", "1", "--replicas", "1"],
        ["group", "show", ""],
        ["member", "forget", ""],
    ],
    ids=" ".join,
)
def test_an_empty_text_is_no_name_and_no_path(cli: Cli, arguments: list[str]) -> None:
    refused(cli, arguments, ["got nothing"])
