"""`cluster`: several nodes as real processes, which end with it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Cli, refused, run_process, wait_gone
from tests.ports import Ports


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cluster", "--nodes", "0"], ["--nodes", "0"]),
        (["cluster", "--base-port", "65535"], ["--base-port 65535", "65537"]),
        (["cluster", "--status-port", "65534"], ["--status-port 65534", "65536"]),
        (["cluster", "--base-port", "7000", "--status-port", "7002"], ["given twice"]),
        (["cluster", "--group", "sw"], ["'sw' is no group"]),
        (["cluster", "--dir", "/nowhere/\udcff"], [r"--dir /nowhere/\udcff: settings cannot name it"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)


@pytest.fixture
def cluster(tmp_path: Path, ports: Ports) -> Iterator[subprocess.Popen[bytes]]:
    """A running cluster of three, described in cluster.json."""
    arguments = ["--dir", str(tmp_path / "c"), "--base-port", str(ports.take_row(3)), "--group", "sw:1:3"]
    arguments += ["--status-port", str(ports.take_row(3))]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "cluster", *arguments], stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT
        )
    assert process.stdout is not None
    said = b""
    while b"described in" not in said:
        line = process.stdout.readline()
        assert line, (tmp_path / "log").read_text()
        said += line
    yield process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=WAIT_SECONDS)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_cluster_repairs_and_stops_its_nodes(
    cluster: subprocess.Popen[bytes], cli: Cli, tmp_path: Path
) -> None:
    nodes = json.loads((tmp_path / "c" / "cluster.json").read_text())["nodes"]
    assert [list(node) for node in nodes] == [["name", "address", "status_address", "pid", "data_dir"]] * 3
    for node in nodes:
        with urllib.request.urlopen(f"http://{node['status_address']}/readyz", timeout=WAIT_SECONDS) as ready:
            assert ready.read() == b"ok\n"
    a, b, c = (node["address"] for node in nodes)
    assert cli("apply", "sw/x/1", "a=1", "--ack", "local", "--at", a).code == 0
    assert cli("apply", "sw/x/2", "a=2", "--ack", "local", "--at", c).code == 0
    ended = cli("repair", "sw", "--wait", "-o", "json", "--at", b)
    assert ended.code == 0, ended.err
    repaired = json.loads(ended.out)
    assert repaired["outcome"] == "repaired"
    assert len([hop for hop in repaired["hops"] if hop["outcome"] in ("equal", "repaired")]) == 3
    roots = {
        json.loads(cli("tree", "sw", "--shard", "0", "-o", "json", "--at", at).out)["root"]
        for at in (a, b, c)
    }
    assert len(roots) == 1
    assert cli("get", "sw/x/1", "--ack", "local", "--at", c).code == 0
    members = [json.loads(line) for line in cli("members", "-o", "json", "--at", a).out.splitlines()]
    assert [member["state"] for member in members] == ["up", "up", "up"]

    os.kill(nodes[2]["pid"], signal.SIGKILL)
    assert cluster.stdout is not None
    while b"c ended killed by signal 9" not in cluster.stdout.readline():
        pass
    ended = cli("repair", "sw", "--wait", "-o", "json", "--at", a)
    assert ended.code == 1
    assert json.loads(ended.out)["outcome"] == "incomplete"
    assert "sw/0 incomplete: b to c skipped" in ended.err

    cluster.terminate()
    cluster.communicate(timeout=WAIT_SECONDS)
    assert cluster.returncode == 0
    assert not any(running(node["pid"]) for node in nodes)
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_the_nodes_of_a_killed_cluster_stop_too(cluster: subprocess.Popen[bytes], tmp_path: Path) -> None:
    nodes = json.loads((tmp_path / "c" / "cluster.json").read_text())["nodes"]
    cluster.kill()
    cluster.wait(WAIT_SECONDS)
    wait_gone([node["pid"] for node in nodes])


@pytest.mark.slow
def test_a_cluster_whose_ports_are_taken(tmp_path: Path, ports: Ports) -> None:
    base = ports.take_row(2)
    with socket.create_server(("127.0.0.1", base)):
        ended = run_process("cluster", "--nodes", "2", "--dir", str(tmp_path / "c"), "--base-port", str(base))
    assert ended.code == 1
    assert f"node a did not start: cannot listen at 127.0.0.1:{base}: address already in use" in ended.problem


@pytest.mark.slow
def test_a_cluster_that_is_started_again_is_the_same_one(
    cluster: subprocess.Popen[bytes], cli: Cli, ports: Ports, tmp_path: Path
) -> None:
    """Its directory holds a cluster of three, which has other ports now. A fourth node is no member of it."""
    (first, *_) = json.loads((tmp_path / "c" / "cluster.json").read_text())["nodes"]
    before = json.loads(cli("status", "-o", "json", "--at", first["address"]).out)
    assert (before["epoch"], before["forming"], before["state"]) == (1, None, "ready")
    cluster.terminate()
    cluster.communicate(timeout=WAIT_SECONDS)
    base = ports.take_row(4)
    given = ["--dir", str(tmp_path / "c"), "--base-port", str(base), "--group", "sw:1:3"]
    ended = run_process("cluster", "--nodes", "4", *given)
    assert ended.code == 1
    assert ended.problem.startswith("node d ")
    assert "has no member d: start it with --join" in ended.problem

    again = subprocess.Popen([*COMMAND, "cluster", *given], stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        assert again.stdout is not None
        while b"described in" not in again.stdout.readline():
            assert again.poll() is None
        address = f"127.0.0.1:{base}"
        assert cli("apply", "sw/x/1", "a=1", "--ack", "all", "--at", address).code == 0
        after = json.loads(cli("status", "-o", "json", "--at", address).out)
        assert after["cluster_id"] == before["cluster_id"]
    finally:
        again.terminate()
        again.communicate(timeout=WAIT_SECONDS)
