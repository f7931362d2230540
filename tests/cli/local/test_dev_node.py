"""`run --dev`: a node for trying things out."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Cli, refused


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "a.toml"],
        ["--data-dir", "d"],
        ["--peer", "b=h:1"],
        ["--join", "h:1"],
        ["--foreign-peer", "p=h:1"],
    ],
    ids=" ".join,
)
def test_it_is_alone_and_keeps_nothing(cli: Cli, arguments: list[str]) -> None:
    refused(cli, ["run", "--dev", *arguments], ["--dev runs one node by itself", f"leave out {arguments[0]}"])


def test_who_gives_no_settings_is_told_of_it(cli: Cli) -> None:
    refused(cli, ["run"], ["[node] name is not set", "gossipnode run --dev"])
    assert "--dev" not in cli("run", "--name", "a").problem


def test_what_is_given_is_taken(cli: Cli) -> None:
    ended = cli("run", "--dev", "--check-config", "--name", "me", "--group", "flags:2:1")
    assert (ended.code, ended.err) == (0, "")
    assert "node me at 127.0.0.1:7400" in ended.out
    assert "group flags: 2 shards" in ended.out
    assert "group sw" not in ended.out


@pytest.mark.slow
def test_its_records_go_away_when_it_stops(cli: Cli, tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*COMMAND, "run", "--dev", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
    )
    assert running.stdout is not None
    name, address = running.stdout.readline().decode().split()[1:]
    assert name == "dev"
    assert cli("apply", "sw/service/web-1", "port:int=8080", "--at", address).code == 0
    assert list(tmp_path.glob("gossipnode-*/data/store.db"))
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=WAIT_SECONDS)
    assert running.returncode == 0
    assert b"its records go away when it stops" in said
    assert list(tmp_path.iterdir()) == []
