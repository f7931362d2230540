"""Nodes under mutual TLS take a peer for a member only by the name in its certificate."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tests.system.foreign.foreign_replica import ForeignReplica
from tests.system.foreign.foreign_session import ForeignSession
from tests.system.held_records import Held
from tests.system.nodes import Nodes, start_all
from tests.system.processes import Ended, Node, command, eventually
from tests.system.stock_client import Stock, refused
from tests.system.stock_messages import gossip, property_of

pytestmark = pytest.mark.slow


@dataclass
class Files:
    """The PEM files of one certificate authority."""

    directory: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def issue(self, name: str, *dns_names: str) -> tuple[Path, Path]:
        """Make a certificate and its key. A second call replaces the files of the first."""
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        issued = self.authority.issue_cert(*(dns_names or (name, "localhost")))
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return cert, key

    def settings(self, name: str) -> dict[str, object]:
        cert, key = self.issue(name)
        return {"ca": str(self.ca), "cert": str(cert), "key": str(key), "require_client": True}

    def credentials(self, name: str, *, ca: Path | None = None) -> Any:
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        return grpc.ssl_channel_credentials((ca or self.ca).read_bytes(), key.read_bytes(), cert.read_bytes())


def authority(directory: Path) -> Files:
    directory.mkdir()
    made = Files(directory, trustme.CA())
    made.authority.cert_pem.write_to_path(str(made.ca))
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    made = authority(tmp_path_factory.mktemp("tls") / "ours")
    made.issue("client", "somebody.example")
    return made


@pytest.fixture(scope="module")
def ring(module_nodes: Nodes, files: Files) -> list[Node]:
    return module_nodes.start("a", "b", "c", ack="local", tls=files.settings)


def local(node: Node) -> str:
    """The address of a node, with the host name that its certificate has for clients on the same machine."""
    return f"localhost:{node.address.rsplit(':', 1)[1]}"


@pytest.fixture
def stock(ring: list[Node], files: Files) -> Iterator[Stock]:
    with Stock(local(ring[0]), credentials=files.credentials("client")) as stock:
        yield stock


def cli(files: Files, *arguments: str, cert: str | None = "client", ca: Path | None = None) -> Ended:
    shown = [] if cert is None else ["--cert", str(files.directory / f"{cert}.pem")]
    shown += [] if cert is None else ["--key", str(files.directory / f"{cert}.key")]
    return command(*arguments, "--ca", str(ca or files.ca), *shown)


def test_three_nodes_repair(ring: list[Node], files: Files, stock: Stock) -> None:
    for number, node in enumerate(ring):
        alone = [("gossipnode-ack", "local")]
        with Stock(local(node), credentials=files.credentials("client"), metadata=alone) as each:
            each.apply(property_of("sw", "n", str(number)))
    assert stock.repair("sw").outcome == "repaired"
    assert stock.repair("sw").outcome == "converged"
    for node in ring:
        with Stock(local(node), credentials=files.credentials("client")) as each:
            assert [record.id for record in each.query("sw", name="n")] == ["0", "1", "2"]
    ended = cli(files, "repair", "sw", "--wait", "--at", local(ring[2]))
    assert ended.code == 0, ended.err
    assert {member.state for member in stock.status().members} == {"up"}


def test_a_client_without_a_certificate_is_refused(ring: list[Node], files: Files) -> None:
    check_refused(cli(files, "get", "sw/n/0", "--at", local(ring[0]), cert=None))
    credentials = grpc.ssl_channel_credentials(files.ca.read_bytes())
    with Stock(local(ring[0]), credentials=credentials) as stock, refused(grpc.StatusCode.UNAVAILABLE):
        stock.query("sw")


def check_refused(ended: Ended) -> None:
    """Check that a command was refused, in one line. In TLS 1.3 the reason may get lost."""
    assert ended.out == ""
    if ended.code == 5:
        assert "refuses our certificate" in ended.problem
    else:
        assert ended.code == 4
        assert "the connection was lost" in ended.problem


def test_a_plain_client_is_refused(ring: list[Node]) -> None:
    ended = command("get", "sw/n/0", "--at", ring[0].address)
    assert ended.code in (4, 5)
    assert ring[0].address in ended.problem
    with Stock(ring[0].address) as stock, refused(grpc.StatusCode.UNAVAILABLE):
        stock.query("sw")


def test_a_certificate_of_another_ca_is_refused(ring: list[Node], files: Files, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    other.issue("client", "a", "b", "c", "localhost")
    check_refused(cli(other, "get", "sw/n/0", "--at", local(ring[0]), ca=files.ca))
    with (
        Stock(local(ring[0]), credentials=other.credentials("client", ca=files.ca)) as stock,
        refused(grpc.StatusCode.UNAVAILABLE),
    ):
        stock.query("sw")
    # In the other direction, a client that trusts another CA does not talk to the node.
    ended = cli(other, "get", "sw/n/0", "--at", local(ring[0]))
    assert ended.code in (4, 5)
    assert "certificate" in ended.problem.lower()


def test_only_members_may_repair_and_propagate(ring: list[Node], files: Files, stock: Stock) -> None:
    context = gossip.PropagationContext(nodes=["a", "b", "c"], origin_node="b", max_propagation_count=3)
    message = gossip.PropagationRequest(context=context, group="sw")
    session = ForeignSession(stock, ForeignReplica([Held(property_of("sw", "n", "x", revision=1))]), "sw")
    for call in (lambda: stock.propagation(message), session.run):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "somebody.example", "only members"):
            call()
    # A member is let in by its own certificate, but not under another member's name.
    with Stock(local(ring[0]), credentials=files.credentials("b")) as member:
        assert ForeignSession(member, ForeignReplica(), "sw").run().found
    metadata = (("gossipnode-node", "c"),)
    with (
        Stock(local(ring[0]), credentials=files.credentials("b"), metadata=metadata) as liar,
        refused(grpc.StatusCode.PERMISSION_DENIED),
    ):
        ForeignSession(liar, ForeignReplica(), "sw").run()


def test_another_cluster_is_refused(ring: list[Node], files: Files) -> None:
    metadata = (("gossipnode-cluster", "other"),)
    with Stock(local(ring[0]), credentials=files.credentials("b"), metadata=metadata) as stock:
        for call in (stock.status, lambda: ForeignSession(stock, ForeignReplica(), "sw").run()):
            with refused(grpc.StatusCode.PERMISSION_DENIED, "'main'", "'other'"):
                call()


def test_a_member_with_another_members_certificate_is_not_talked_to(nodes: Nodes, tmp_path: Path) -> None:
    """b shows the certificate of c, and so a does not take it for b: neither at first, nor later on."""
    files = authority(tmp_path / "mixed")
    files.issue("client")
    a, b = nodes.plan("a", "b", tls=files.settings)
    files.issue("b", "c", "localhost")
    start_all(a, b)
    with Stock(local(a), credentials=files.credentials("client")) as stock:
        eventually(lambda: "certificate" in str(stock.status().forming.problems), "reason in the status")
        assert stock.status().epoch == 0
    assert b.stop() == 0
    files.issue("b")
    b.start()
    for node in (a, b):
        node.wait_event("epoch")
    assert b.stop() == 0
    files.issue("b", "c", "localhost")
    b.start()
    with Stock(local(a), credentials=files.credentials("client")) as stock:
        finished = stock.repair("sw")
    assert finished.outcome == "incomplete"
    assert [hop.outcome for hop in finished.hops] == ["skipped"]
    assert "certificate" in finished.hops[0].reason.lower()


def test_sighup_reads_certificates_again(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "renewed")
    (node,) = nodes.start("a", tls=files.settings)
    files.issue("client")
    with Stock(local(node), credentials=files.credentials("client")) as stock:
        assert stock.status().node == "a"
        # The renewed certificate has one more name, so that a new connection can tell it from the old one.
        files.issue("a", "a", "localhost", "renewed.example")
        node.send(signal.SIGHUP)
        renewed = (("grpc.ssl_target_name_override", "renewed.example"),)
        for _ in range(100):
            with Stock(local(node), credentials=files.credentials("client"), options=renewed) as fresh:
                try:
                    assert fresh.status(timeout=5).node == "a"
                    break
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - not read yet
        else:
            raise AssertionError("the new certificate is not shown")
        # The old connection lives on, and so does the node when the next files are of no use.
        assert stock.status().node == "a"
        (files.directory / "a.pem").write_text("no certificate")
        node.send(signal.SIGHUP)
        assert node.log is not None
        node.log.wait(lambda line: "certificates not read again" in line, "word of the broken file")
        with Stock(local(node), credentials=files.credentials("client"), options=renewed) as fresh:
            assert fresh.status().node == "a"
    assert node.stop() == 0
    node.assert_no_defect()


def test_certificates_that_cannot_be_used(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "broken")
    (node,) = nodes.plan("a", tls=files.settings)
    (files.directory / "a.pem").write_text("no certificate")
    ended = node.try_start()
    assert ended is not None
    assert ended.code == 2
    assert str(files.directory / "a.pem") in ended.problem
