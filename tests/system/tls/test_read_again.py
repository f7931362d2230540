"""SIGHUP: the CA, the certificate and its key are read again, as a whole or not at all."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, eventually
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of
from tests.system.test_mutual_tls import Files, authority, check_refused, cli, local

pytestmark = pytest.mark.slow

READ = "certificates read again"


def read_again(*nodes: Node) -> None:
    """Let nodes read their files again, and wait until they have."""
    known = [len(node.events(READ)) for node in nodes]
    for node in nodes:
        node.send(signal.SIGHUP)
    for node, before in zip(nodes, known, strict=True):
        eventually(lambda node=node, before=before: len(node.events(READ)) > before, READ)  # type: ignore[misc]


def restart(node: Node) -> None:
    assert node.stop() == 0
    node.start()


def refusal(node: Node) -> Callable[[], list[str]]:
    """A look for the lines in which a node says that it has not read its files again."""
    return lambda: [line for line in node.lines if "certificates not read again" in line]


def test_one_ca_takes_the_place_of_another_while_the_nodes_run(nodes: Nodes, tmp_path: Path) -> None:
    old, new = authority(tmp_path / "old"), authority(tmp_path / "new")
    a, b = nodes.start("a", "b", ack="all", groups=("sw:1:2",), tls=old.settings)
    for each in (old, new):
        each.issue("client", "somebody.example")

    old.ca.write_bytes(old.ca.read_bytes() + new.ca.read_bytes())
    check_refused(cli(new, "get", "sw/n/1", "--at", local(a), ca=old.ca))
    read_again(a, b)
    (said,) = a.events(READ)
    assert (said["ca"], said["authorities"]) == (str(old.ca), 2)
    assert (said["cert"], said["names"]) == (str(old.directory / "a.pem"), ["a", "localhost"])
    assert said["valid_until"].endswith("UTC")
    for each in (old, new):
        assert cli(each, "apply", "sw/n/1", "k=x", "--at", local(a), ca=old.ca).code == 0

    # b shows a certificate of the new CA, to those who call it and to those whom it calls.
    issue_with(new, old, "b")
    read_again(b)
    restart(b)
    for node in (a, b):
        written = cli(new, "apply", "sw/n/1", f"k={node.name}", "--at", local(node), ca=old.ca)
        assert written.code == 0, written

    issue_with(new, old, "a")
    old.ca.write_bytes(new.ca.read_bytes())
    read_again(a, b)
    check_refused(cli(old, "get", "sw/n/1", "--at", local(a), ca=old.ca))
    assert cli(new, "get", "sw/n/1", "--at", local(a)).code == 0
    old.issue("b")
    restart(b)
    with Stock(local(a), credentials=new.credentials("client")) as stock:
        finished = stock.repair("sw")
    assert [hop.outcome for hop in finished.hops] == ["skipped"]
    assert "certificate" in finished.hops[0].reason.lower()
    stop_all(a, b)


def issue_with(issuer: Files, holder: Files, name: str) -> None:
    """Make a certificate of one CA, in the place of that of another."""
    for made in issuer.issue(name):
        (holder.directory / made.name).write_bytes(made.read_bytes())


def test_files_that_do_not_fit_change_nothing(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "ours")
    files.issue("client")
    (node,) = nodes.start("a", groups=("sw:1:1",), tls=files.settings)
    cert, key = files.directory / "a.pem", files.directory / "a.key"
    kept = cert.read_bytes()
    trustme.CA().issue_cert("a").private_key_pem.write_to_path(str(key))
    node.send(signal.SIGHUP)
    eventually(refusal(node), "word of the wrong key")
    (line,) = refusal(node)()
    assert f"{cert} and {key} do not fit" in line
    files.ca.unlink()
    node.send(signal.SIGHUP)
    eventually(lambda: len(refusal(node)()) == 2, "word of the missing CA")
    assert f"[tls] ca: {files.ca} cannot be read: No such file or directory" in refusal(node)()[1]
    files.authority.cert_pem.write_to_path(str(files.ca))
    assert cli(files, "get", "sw/n/1", "--at", local(node)).code == 3
    assert cert.read_bytes() == kept
    stop_all(node)


def test_status_and_log_tell_of_a_certificate_that_ends_soon(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "ending")
    files.issue("client")
    (node,) = nodes.plan("a", groups=("sw:1:1",), tls=files.settings)
    ends = datetime.now(UTC) + timedelta(days=3, hours=1)
    issued = files.authority.issue_cert("a", "localhost", not_after=ends)
    (files.directory / "a.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    issued.private_key_pem.write_to_path(str(files.directory / "a.key"))
    node.start()
    ended = cli(files, "status", "-o", "json", "--at", local(node))
    (warning,) = json.loads(ended.out)["warnings"]
    assert warning == (
        f"{files.directory / 'a.pem'}: the node's certificate ends on {ends:%Y-%m-%d %H:%M} UTC, in 3 days: "
        "put a new one there and send SIGHUP"
    )
    assert f"warning: {warning}" in " ".join(cli(files, "status", "--at", local(node)).out.split())
    assert len(node.events(warning)) == 1
    with Stock(local(node), credentials=files.credentials("client")) as stock:
        stock.apply(property_of("sw", "n", "1"))
    files.issue("a")
    read_again(node)
    assert json.loads(cli(files, "status", "-o", "json", "--at", local(node)).out)["warnings"] == []
    stop_all(node)
