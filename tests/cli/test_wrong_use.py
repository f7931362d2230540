"""Every error of the command line is one line that names the thing and what to do, with its exit code."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, run_process

CONFIG = '[node]\nname = "a"\nlisten = "127.0.0.1:0"\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["appl"], ["No such command 'appl'"]),
        (["get"], ["Missing argument 'KEY'", "gossipnode get --help"]),
        (["get", "sw/a/1", "--bogus"], ["No such option", "--bogus"]),
        (["get", "sw/a/1", "-o", "xml"], ["-o", "xml", "table"]),
        (["get", "sw"], ["'sw' is no key", "GROUP/NAME/ID"]),
        (["get", "sw//1"], ["'sw//1' is no key: name is empty"]),
        (["get", "g" * 256 + "/n/i"], ["longer than 255 bytes"]),
        (["get", "g/n/" + "i" * 4097], ["longer than 4096 bytes"]),
        (["get", "sw/a/1", "--at", "nowhere"], ["--at", "'nowhere' has no port"]),
        (["get", "sw/a/1", "--at", "h:99999"], ["--at", "no valid port"]),
        (["get", "sw/a/1", "--timeout", "soon"], ["--timeout", "soon"]),
        (["get", "sw/a/1", "--timeout", "0"], ["--timeout", "above 0"]),
        (["get", "sw/a/1", "--cert", "x"], ["--cert and --key belong together"]),
        (["get", "sw/a/1", "--cert", "x", "--key", "y"], ["--cert needs --ca"]),
        (["get", "sw/a/1", "--ca", "/nowhere/ca.pem"], ["--ca", "/nowhere/ca.pem"]),
        (["get", "sw/a/1", "--ack", "most"], ["--ack", "'most'", "'local', 'one', 'quorum', 'all'"]),
        (["export", "sw", "--ack", ""], ["--ack", "''"]),
        (["apply", "sw/a/1"], ["no tag given"]),
        (["apply", "sw/a/1", "a=1", "a=2"], ["tag 'a' is given twice"]),
        (["apply", "sw/a/1", "a"], ["'a' is no tag", "key=text"]),
        (["apply", "sw/a/1", "a:int=9223372036854775808"], ["tag 'a'", "out of range"]),
        (["apply", "sw/a/1", "a:number=5"], ["tag 'a' has an unknown type 'number'"]),
        (["apply", "sw/a/1", "a:binary=%"], ["tag 'a'", "base64"]),
        (["apply", "sw/a/1", "a:timestamp=today"], ["tag 'a'", "'today' is no timestamp"]),
        (["query"], ["Missing argument 'GROUP...'"]),
        (["query", "sw", "--where", "a >"], ["--where, column 4: expected a value"]),
        (["query", "sw", "--desc"], ["--desc needs --order-by"]),
        (["query", "sw", "--limit", "0"], ["--limit", "0"]),
        (["query", "sw", "--after", "x"], ["'x' is no key"]),
        (["import", "sw", "/nowhere/file"], ["/nowhere/file", "No such file"]),
        (["import", "sw", "/"], ["/: cannot be read"]),
        (["tree", "sw"], ["--shard"]),
        (["tree", "sw", "--shard", "-1"], ["--shard", "-1"]),
        (["repair", "sw", "--shard", "x"], ["--shard", "x"]),
        (["verify"], ["--data-dir"]),
        (["verify", "--data-dir", "/nowhere/d"], ["/nowhere/d: no such directory"]),
        (["run"], ["[node] name is not set", "--name"]),
        (["run", "--name", "a"], ["[node] listen is not set", "--listen"]),
        (["run", "--name", "a", "--listen", "7400"], ["--listen: '7400' has no port"]),
        (["run", "--name", "a b", "--listen", "h:1"], ["--name: 'a b' is no node name"]),
        (["run", "--name", "a", "--listen", "h:1", "--peer", "b"], ["--peer: 'b' is no peer"]),
        (["run", "--name", "a", "--listen", "h:1", "--group", "sw"], ["--group: 'sw' is no group"]),
        (["run", "--config", "/nowhere/a.toml"], ["/nowhere/a.toml: no such configuration file"]),
        (["run", "--name", "a", "--listen", "h:1", "--join", "h"], ["--join: 'h' has no port"]),
        (["run", "--name", "a", "--listen", "h:1", "--join", "h:2", "h:0"], ["--join: 'h:0' has port 0"]),
        (
            ["run", "--name", "a", "--listen", "h:1", "--join", "h:2", "--peer", "b=h:2"],
            ["peers and join are both set", "--peer, --join"],
        ),
        (["cluster", "--nodes", "0"], ["--nodes", "0"]),
        (["cluster", "--base-port", "65535"], ["--base-port 65535", "65537"]),
        (["cluster", "--group", "sw"], ["'sw' is no group"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    for word in words:
        assert word in ended.problem


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (CONFIG + "lisen = 5\n", ["unknown key 'lisen'", "did you mean 'listen'?"]),
        (CONFIG + "data_dir = 5\n", ["[node] data_dir: expected text"]),
        (CONFIG + "[repair\n", ["a.toml, line 4"]),
        (CONFIG + "[groups.sw]\nack = 'most'\n", ["[groups.sw] ack"]),
        (CONFIG + "[tls]\nca = '/nowhere/ca'\n", ["[tls] ca: no such file"]),
    ],
)
def test_wrong_configuration(cli: Cli, tmp_path: Path, config: str, words: list[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text(config)
    for extra in ([], ["--check-config"]):
        ended = cli("run", "--config", str(path), *extra)
        assert (ended.code, ended.out) == (2, "")
        assert str(path) in ended.problem
        for word in words:
            assert word in ended.problem


def test_check_config_shows_what_it_read(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(CONFIG + '[cluster]\nsecret = "x1y2"\npeers = { b = "h:2" }\n[groups.sw]\n')
    ended = cli("run", "--config", str(path), "--check-config", "--listen", "h:1")
    assert ended.code == 0
    assert "members: a h:1, b h:2" in ended.out
    ended = cli("run", "--config", str(path), "--check-config", "-o", "json")
    assert json.loads(ended.out)["groups"]["sw"]["replicas"] == 3
    assert "x1y2" not in ended.out


def test_check_config_shows_whom_the_node_joins(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        CONFIG + '[cluster]\njoin = ["h:1", "[::1]:2"]\n[groups.sw]\nindexes = ["zone", "port"]\n'
    )
    said = cli("run", "--config", str(path), "--check-config").out
    assert "joins through: h:1, [::1]:2\n" in said
    assert "group sw: 1 shard, 3 replicas, ack quorum, tombstones kept 7d, indexes: zone port\n" in said
    ended = cli("run", "--config", str(path), "--check-config", "--join", "h:3", "h:4", "-o", "json")
    shown = json.loads(ended.out)
    assert shown["cluster"]["join"] == ["h:3", "h:4"]
    assert shown["groups"]["sw"]["indexes"] == ["zone", "port"]


def test_wrong_certificates(cli: Cli, tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("nothing")
    files = [f"--{name}={tmp_path / name}" for name in ("ca", "cert", "key")]
    ended = cli("status", *files)
    assert ended.code == 2
    assert str(tmp_path / "ca") in ended.problem


def test_no_node_there(cli: Cli) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for arguments in (["get", "sw/a/1"], ["status"], ["export", "sw"], ["query", "sw"], ["repair", "sw"]):
            ended = cli(*arguments, "--at", address)
            assert (ended.code, ended.out) == (4, "")
            assert f"no node answers at {address}: connection refused" in ended.problem


def test_the_node_can_be_named_in_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSIPNODE_AT", "nowhere")
    assert "'nowhere' has no port" in cli("status").problem


@pytest.mark.slow
def test_a_silent_peer_runs_into_the_timeout(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        ended = cli("export", "sw", "--at", address, "--timeout", "0.2")
        assert ended.code == 4
        assert f"{address} sent nothing for 0.2 s" in ended.problem
        ended = cli("get", "sw/a/1", "--at", address, "--timeout", "0.2")
        assert ended.code == 4
        assert "no answer within 0.2 s" in ended.problem


@pytest.mark.slow
def test_what_listens_there_is_no_node(cli: Cli) -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Stay silent: stderr is the command's."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        address = f"127.0.0.1:{server.server_port}"
        ended = cli("status", "--at", address)
        serving.join()
    assert ended.code == 4
    assert address in ended.problem
    assert "is a gossipnode node running there?" in ended.problem


def test_help_is_there_for_every_command(cli: Cli) -> None:
    listed = cli("--help").out
    for name in (
        "run", "cluster", "demo", "apply", "get", "delete", "query", "import", "export", "group", "repair",
        "tree", "status", "members", "member", "verify",
    ):  # fmt: skip
        assert f"  {name} " in listed
        ended = cli(name, "--help")
        assert ended.code == 0
        assert ended.out.startswith(f"Usage: gossipnode {name}")
    assert cli("--version").out.startswith("gossipnode ")


@pytest.mark.parametrize("command", ["create", "alter", "list", "show", "delete"])
def test_help_is_there_for_every_command_of_a_group(cli: Cli, command: str) -> None:
    assert cli("group", command, "--help").out.startswith(f"Usage: gossipnode group {command}")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("apply", "as many of them as --ack says have it on disk"),
        ("apply", "the last writer wins by record, not by tag"),
        ("get", "whatever a quorum has acknowledged"),
        ("query", "records without the tag last"),
        ("import", "as many replicas as --ack says"),
        ("run", "In place of --peer"),
    ],
)
def test_help_tells_what_one_must_know(cli: Cli, command: str, words: str) -> None:
    assert words in " ".join(cli(command, "--help").out.split())


@pytest.mark.slow
def test_a_bare_help_imports_little() -> None:
    probe = "import sys; from gossipnode.cli.main import run; run(['--help']); print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=True).stdout.split()
    assert not {b"rich", b"trio", b"msgspec", b"betterproto", b"google.protobuf", b"h2"} & set(loaded)


@pytest.mark.slow
def test_nothing_at_all_shows_the_help() -> None:
    ended = run_process()
    assert ended.code == 2
    assert "Commands:" in ended.err
