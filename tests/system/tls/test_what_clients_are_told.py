"""What a client is told when it and a node do not agree upon TLS, with real processes."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from tests.system.nodes import Nodes
from tests.system.processes import COMMAND, ENVIRONMENT, Ended, Node, command
from tests.system.stock_client import Stock, refused
from tests.system.test_mutual_tls import Files, authority, cli, local

pytestmark = pytest.mark.slow

GET = ("get", "sw/n/1", "--at")
EXPIRED = datetime(2024, 5, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = authority(tmp_path_factory.mktemp("told") / "ours")
    made.issue("client")
    return made


@pytest.fixture(scope="module")
def node(module_nodes: Nodes, files: Files) -> Node:
    (node,) = module_nodes.start("a", groups=("sw:1:1",), tls=files.settings)
    return node


def told(ended: Ended, code: int, problem: str) -> None:
    assert (ended.code, ended.out, ended.problem) == (code, "", problem)


def test_a_plain_client_at_a_node_with_tls(node: Node) -> None:
    told(command(*GET, node.address), 4, f"{node.address} speaks TLS: give --ca (and --cert, --key)")
    with Stock(node.address) as stock, refused(grpc.StatusCode.UNAVAILABLE):
        stock.query("sw")


def test_a_client_with_tls_at_a_plain_node(nodes: Nodes, files: Files) -> None:
    (plain,) = nodes.start("p", groups=("sw:1:1",))
    told(cli(files, *GET, plain.address), 4, f"{plain.address} does not speak TLS: leave --ca out")


def test_a_name_that_is_not_that_of_the_address(node: Node, files: Files) -> None:
    problem = (
        f"{node.address} is not trusted: its certificate is for a, localhost, not for 127.0.0.1: "
        "--server-name says which name to expect"
    )
    told(cli(files, *GET, node.address), 4, problem)
    assert cli(files, *GET, node.address, "--server-name", "a").code == 3
    told(cli(files, *GET, node.address, "--server-name", "b"), 4, problem.replace("127.0.0.1: ", "b: "))
    shown = ["--ca", str(files.ca), "--cert", str(files.directory / "client.pem")]
    shown += ["--key", str(files.directory / "client.key")]
    by_environment = subprocess.run(
        [*COMMAND, *GET, node.address, *shown],
        env={**ENVIRONMENT, "GOSSIPNODE_SERVER_NAME": "a"},
        capture_output=True,
        check=False,
    )
    assert by_environment.returncode == 3, by_environment


def test_an_expired_certificate_of_a_node_and_of_a_client(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "expired")
    (node,) = nodes.plan("a", groups=("sw:1:1",), tls=files.settings)
    for name in ("a", "old"):
        issued = files.authority.issue_cert(name, "localhost", not_after=EXPIRED)
        (files.directory / f"{name}.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        issued.private_key_pem.write_to_path(str(files.directory / f"{name}.key"))
    files.issue("client")
    node.start()
    assert node.log is not None
    expired = "certificate expired on 2024-05-06 00:00 UTC"
    (warning,) = node.log.wait(lambda line: expired in line, "word of the date")
    assert str(files.directory / "a.pem") in warning
    told(
        cli(files, *GET, local(node)),
        4,
        f"{local(node)} is not trusted: its certificate expired on 2024-05-06 00:00 UTC: "
        "give the node a new one and send it SIGHUP",
    )
    assert node.stop() == 0
    files.issue("a")
    node.start()
    ended = cli(files, *GET, local(node), cert="old")
    assert ended.code in (4, 5)
    if ended.code == 5:
        # In TLS 1.3 the reason may get lost.
        problem = "refuses our certificate (certificate expired): use a new one, signed by its CA"
        assert ended.problem == f"{local(node)} {problem}"


def test_another_ca(node: Node, files: Files, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    other.issue("client")
    ended = cli(other, *GET, local(node))
    assert ended.code == 4
    assert "is not trusted: its certificate is not of our CA" in ended.problem
    assert ended.problem.endswith("give the CA of its cluster as --ca")
