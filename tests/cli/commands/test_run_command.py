"""`run`: settings, signals, and what a node cannot start with."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import (
    COMMAND,
    ENVIRONMENT,
    WAIT_SECONDS,
    Cli,
    Starter,
    refused,
    run_process,
    wait_for_record,
)
from tests.ports import Ports

CONFIG = '[node]\nname = "a"\nlisten = "127.0.0.1:0"\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
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
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


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


def test_check_config_says_what_run_says_of_settings_without_effect(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(CONFIG + '[cluster]\ndiscovery = "static"\n')
    ended = cli("run", "--config", str(path), "--check-config")
    assert ended.code == 0
    (discovery,) = ended.err.splitlines()
    assert discovery.startswith("gossipnode: [cluster] discovery is set, but")


def test_check_config_reads_the_certificates_as_run_does(cli: Cli, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for file in files.values():
        file.write_text("no certificate")
    options = ["--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "a")]
    options += [word for name, file in files.items() for word in (f"--{name}", str(file))]
    for extra in ([], ["--check-config"]):
        ended = cli("run", *options, *extra)
        assert (ended.code, ended.out) == (2, "")
        assert f"[tls] ca: {files['ca']} cannot be used: it is not the PEM file of a cert" in ended.problem


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_node_stop_in_order(node_starter: Starter, number: int) -> None:
    node = node_starter("a", "--group", "sw:1:1")
    assert node.stop(number) == 0
    assert "Traceback" not in node.log.read_text()


@pytest.mark.slow
def test_a_second_signal_ends_a_node_at_once(node_starter: Starter) -> None:
    node = node_starter("a", "--group", "sw:1:1")
    with subprocess.Popen(
        [*COMMAND, "import", "sw", "-", "--at", node.address],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    ) as importing:  # fmt: skip
        # A call under way keeps the node from ending by itself at the first signal.
        assert importing.stdin is not None
        importing.stdin.write(b'{"name": "pipe", "id": "1", "tags": {"a": 1}}\n' * 256)
        importing.stdin.flush()
        wait_for_record(node)
        node.process.terminate()
        while "draining" not in node.log.read_text():
            assert node.process.poll() is None
        assert node.stop(signal.SIGINT) == 130
        importing.kill()


@pytest.mark.slow
def test_a_port_in_use(node_starter: Starter, cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_process("run", "--name", "a", "--listen", address, "--data-dir", str(tmp_path / "a"))
    assert (ended.code, ended.out) == (1, "")
    assert f"cannot listen at {address}: address already in use" in ended.problem


@pytest.mark.slow
def test_settings_that_change_nothing_yet_are_named_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text('[node]\nname = "a"\n[cluster]\ndiscovery = "static"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        given = ["--config", str(config), "--listen", address, "--data-dir", str(tmp_path / "a")]
        ended = run_process("run", *given)
    *named, problem = ended.err.splitlines()
    assert "cannot listen" in problem
    assert named == [
        "gossipnode: [cluster] discovery is set, but it changes nothing yet: members come from peers or join",
    ]
    assert run_process("run", *given, "--check-config").err.splitlines() == named


@pytest.mark.slow
def test_a_data_directory_in_use(node_starter: Starter, tmp_path: Path) -> None:
    node_starter("a")
    arguments = ["--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "a")]
    ended = run_process("run", "--name", "b", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert f"{tmp_path / 'a'} is in use" in ended.problem
    ended = run_process("verify", "--data-dir", str(tmp_path / "a"))
    assert ended.code == 1
    assert f"{tmp_path / 'a'} is in use" in ended.problem


@pytest.mark.slow
def test_a_data_directory_of_another_node(node_starter: Starter, tmp_path: Path) -> None:
    assert node_starter("a", "--group", "sw:1:1").stop() == 0
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "a", copy)
    ended = run_process("run", "--name", "zz", "--listen", "127.0.0.1:0", "--data-dir", str(copy))
    assert (ended.code, ended.out) == (1, "")
    assert f"{copy} belongs to node 'a', and this one is 'zz'" in ended.err.splitlines()[-1]
    assert run_process("verify", "--data-dir", str(copy)).code == 0
    assert node_starter("a", "--group", "sw:1:1").stop() == 0


@pytest.mark.slow
def test_a_node_that_stopped_while_its_cluster_was_formed_starts_again(
    node_starter: Starter, cli: Cli, ports: Ports
) -> None:
    address = ports.address()
    # Each is told to stop the moment it listens, which is before, while or after it decides its first epoch.
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        node_starter("a", "--group", "sw:1:1", "--listen", address).stop(number)
    node = node_starter("a", "--group", "sw:1:1", "--listen", address)
    assert cli("apply", "sw/x/1", "a=1", "--at", address).code == 0
    assert node.stop() == 0
    assert "defect" not in node.log.read_text()


@pytest.mark.slow
def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "a"
    ended = run_process("run", "--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(place))
    assert (ended.code, ended.out) == (1, "")
    assert str(tmp_path / "file") in ended.problem


@pytest.mark.slow
def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    first = subprocess.Popen(
        [*COMMAND, "run", "--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert first.stdout is not None
    assert first.stdout.readline().startswith(b"ready ")
    first.terminate()
    first.communicate(timeout=WAIT_SECONDS)
    (directory / "store.db").write_bytes(b"no database at all" * 1000)
    ended = run_process("run", "--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(directory))
    assert ended.code == 1
    assert str(directory) in ended.problem


@pytest.mark.slow
def test_an_acknowledged_write_survives_a_kill(
    node_starter: Starter, cli: Cli, ports: Ports, tmp_path: Path
) -> None:
    address = ports.address()
    node = node_starter("a", "--group", "sw:1:1", "--listen", address)
    assert cli("apply", "sw/x/1", "a=1", "--at", address).code == 0
    node.stop(signal.SIGKILL)
    assert cli("get", "sw/x/1", "--at", address).code == 4
    again = node_starter("a", "--group", "sw:1:1", "--listen", address)
    assert cli("get", "sw/x/1", "--at", address).code == 0
    again.stop()
    ended = cli("verify", "--data-dir", str(tmp_path / "a"), "-o", "json")
    found = json.loads(ended.out)
    assert (found["records"], found["tombstones"], found["wrong"]) == (1, 0, 0)
    assert [list(shard) for shard in found["shards"]] == [["group", "shard", "root"]]


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Files of a CA, a certificate of node a, and one of somebody else's CA."""
    ours, theirs = trustme.CA(), trustme.CA()
    for authority, name in ((ours, "ours"), (theirs, "theirs")):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.ca"))
        issued = authority.issue_cert("a", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    return {name: str(tmp_path / name) for name in ("ours.ca", "ours.pem", "theirs.ca", "theirs.pem")}


@pytest.mark.slow
def test_a_node_that_requires_certificates(
    node_starter: Starter, cli: Cli, certificates: dict[str, str]
) -> None:
    ca, pem = certificates["ours.ca"], certificates["ours.pem"]
    ours = ["--ca", ca, "--cert", pem, "--key", pem]
    node = node_starter("a", "--group", "sw:1:1", *ours)
    assert cli("apply", "sw/x/1", "a=1", "--at", node.address, *ours).code == 0
    for arguments in ([], ["--ca", ca], ["--ca", certificates["theirs.ca"]]):
        ended = cli("get", "sw/x/1", "--at", node.address, *arguments)
        assert ended.code in (4, 5)
        assert node.address in ended.problem
    node.process.send_signal(signal.SIGHUP)
    assert cli("get", "sw/x/1", "--at", node.address, *ours).code == 0
    assert node.stop() == 0
    assert "Traceback" not in node.log.read_text()
