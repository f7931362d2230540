"""Nodes and commands as real processes: start, stop, kill, restart, pipes, signals, clusters."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from gossipnode.cli.local_nodes import free_addresses
from tests.cli.conftest import COMMAND, ENVIRONMENT, WAIT_SECONDS, Cli, Running, run_process

pytestmark = pytest.mark.slow

Starter = Callable[..., Running]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_node_stop_in_order(node_starter: Starter, number: int) -> None:
    node = node_starter("a", "--group", "sw:1:1")
    assert node.stop(number) == 0
    assert "Traceback" not in node.log.read_text()


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
        _wait_for_record(node)
        node.process.terminate()
        while "draining" not in node.log.read_text():
            assert node.process.poll() is None
        assert node.stop(signal.SIGINT) == 130
        importing.kill()


def test_a_port_in_use(node_starter: Starter, cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_process("run", "--name", "a", "--listen", address, "--data-dir", str(tmp_path / "a"))
    assert (ended.code, ended.out) == (1, "")
    assert f"cannot listen at {address}: address already in use" in ended.problem


def test_settings_that_change_nothing_yet_are_named_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "a.toml"
    config.write_text(
        '[node]\nname = "a"\nstatus_listen = "127.0.0.1:0"\n'
        '[cluster]\nsecret = "s3cret"\ndiscovery = "static"\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        given = ["--config", str(config), "--listen", address, "--data-dir", str(tmp_path / "a")]
        ended = run_process("run", *given)
    *named, problem = ended.err.splitlines()
    assert "cannot listen" in problem
    assert named == [
        "gossipnode: [node] status_listen is set, but status over HTTP is not served yet",
        "gossipnode: [cluster] secret is set, but nothing checks it yet: only TLS keeps strangers out",
        "gossipnode: [cluster] discovery is set, but it changes nothing yet: members come from peers or join",
    ]
    assert run_process("run", *given, "--check-config").err == ""


def test_a_data_directory_in_use(node_starter: Starter, tmp_path: Path) -> None:
    node_starter("a")
    arguments = ["--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "a")]
    ended = run_process("run", "--name", "b", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert f"{tmp_path / 'a'} is in use" in ended.problem
    ended = run_process("verify", "--data-dir", str(tmp_path / "a"))
    assert ended.code == 1
    assert f"{tmp_path / 'a'} is in use" in ended.problem


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "a"
    ended = run_process("run", "--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(place))
    assert (ended.code, ended.out) == (1, "")
    assert str(tmp_path / "file") in ended.problem


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
    largest = max(
        (file for file in directory.iterdir() if file.is_file()), key=lambda file: file.stat().st_size
    )
    largest.write_bytes(b"no database at all" * 1000)
    ended = run_process("run", "--name", "a", "--listen", "127.0.0.1:0", "--data-dir", str(directory))
    assert ended.code == 1
    assert str(directory) in ended.problem


def test_an_acknowledged_write_survives_a_kill(node_starter: Starter, cli: Cli, tmp_path: Path) -> None:
    address = str(free_addresses(1)[0])
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


def test_a_reader_that_leaves_early(node: Running, cli: Cli) -> None:
    for number in range(4):
        assert cli("apply", f"sw/long/{number}", "a=" + "x" * 100_000, "--at", node.address).code == 0
    exporting = subprocess.Popen(
        [*COMMAND, "export", "sw", "--at", node.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert exporting.stdout is not None
    assert exporting.stdout.readline().startswith(b"{")
    exporting.stdout.close()
    assert exporting.stderr is not None
    assert exporting.stderr.read() == b""
    exporting.stderr.close()
    assert exporting.wait(WAIT_SECONDS) == 0


def test_ctrl_c_ends_with_one_line(node: Running) -> None:
    importing = subprocess.Popen(
        [*COMMAND, "import", "sw", "-", "--at", node.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert importing.stdin is not None
    assert importing.stderr is not None
    # A bad line that is skipped is told of at once: then the command surely runs.
    batch = b'{"name": "pipe", "id": "1", "tags": {"a": 1}}\n' * 256
    importing.stdin.write(batch)
    importing.stdin.flush()
    _wait_for_record(node)
    importing.send_signal(signal.SIGINT)
    assert importing.stderr.read() == b"gossipnode: interrupted\n"
    assert importing.wait(WAIT_SECONDS) == 130
    importing.communicate()


def _wait_for_record(node: Running) -> None:
    for _ in range(100):
        if run_process("get", "sw/pipe/1", "--at", node.address).code == 0:
            return
    raise AssertionError("the import never wrote")


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """Files of a CA, a certificate of node a, and one of somebody else's CA."""
    ours, theirs = trustme.CA(), trustme.CA()
    for authority, name in ((ours, "ours"), (theirs, "theirs")):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.ca"))
        issued = authority.issue_cert("a", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    return {name: str(tmp_path / name) for name in ("ours.ca", "ours.pem", "theirs.ca", "theirs.pem")}


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


def free_base_port(count: int) -> int:
    """The first of several ports in a row that nobody listens at just now."""
    for _ in range(100):
        base = free_addresses(1)[0].port
        try:
            for port in range(base, base + count):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            continue
        return base
    raise AssertionError("no free ports in a row")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running cluster of three, described in cluster.json."""
    arguments = ["--dir", str(tmp_path / "c"), "--base-port", str(free_base_port(3)), "--group", "sw:1:3"]
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


def wait_gone(pids: list[int]) -> None:
    """Wait for processes that are not our children, through the ports and locks that they give back."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([handle], [], [], WAIT_SECONDS)
        os.close(handle)
        assert readable, f"{pid} still runs"


def test_a_cluster_repairs_and_stops_its_nodes(
    cluster: subprocess.Popen[bytes], cli: Cli, tmp_path: Path
) -> None:
    nodes = json.loads((tmp_path / "c" / "cluster.json").read_text())["nodes"]
    assert [list(node) for node in nodes] == [["name", "address", "status_address", "pid", "data_dir"]] * 3
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


def test_the_nodes_of_a_killed_cluster_stop_too(cluster: subprocess.Popen[bytes], tmp_path: Path) -> None:
    nodes = json.loads((tmp_path / "c" / "cluster.json").read_text())["nodes"]
    cluster.kill()
    cluster.wait(WAIT_SECONDS)
    wait_gone([node["pid"] for node in nodes])


def test_a_cluster_whose_ports_are_taken(tmp_path: Path) -> None:
    base = free_base_port(2)
    with socket.create_server(("127.0.0.1", base)):
        ended = run_process("cluster", "--nodes", "2", "--dir", str(tmp_path / "c"), "--base-port", str(base))
    assert ended.code == 1
    assert f"node a did not start: cannot listen at 127.0.0.1:{base}: address already in use" in ended.problem


def test_the_demo_proves_its_end_and_can_leave_its_nodes_running(cli: Cli) -> None:
    ended = run_process("demo", "--keep", "-o", "json")
    assert ended.code == 0, ended.err
    described = Path(ended.err.split("described in ")[1].splitlines()[0].rstrip("."))
    nodes = json.loads(described.read_text())["nodes"]
    try:
        result = json.loads(ended.out)
        assert result["equal"] is True
        assert result["nodes"][0]["records"] > 20_000
        assert result["round"]["outcome"] == "repaired"
        assert "Node c is killed" in ended.err
        for node, told in zip(nodes, result["nodes"], strict=True):
            tree = json.loads(
                cli("tree", "unicode", "--shard", "0", "-o", "json", "--at", node["address"]).out
            )
            assert tree["root"] == told["root"] == result["nodes"][0]["root"]
            assert told["records"] == result["nodes"][0]["records"]
    finally:
        for node in nodes:
            os.kill(node["pid"], signal.SIGTERM)
    wait_gone([node["pid"] for node in nodes])
    shutil.rmtree(described.parent)
