"""The status port of a real node with certificates and roles, over real sockets."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.observe.metrics.reading import key, read_metrics
from tests.system.nodes import Nodes, stop_all
from tests.system.processes import Node, eventually
from tests.system.test_mutual_tls import Files, authority, cli, local

pytestmark = pytest.mark.slow

REFUSED = "status connection refused"
PATHS = ("/", "/livez", "/readyz", "/metrics", "/records?group=sw")


def get(port: str, path: str, files: Files, cert: str | None) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(files.ca))
    if cert is not None:
        context.load_cert_chain(files.directory / f"{cert}.pem", files.directory / f"{cert}.key")
    connection = http.client.HTTPSConnection("localhost", int(port), timeout=30, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def refused(port: str, files: Files, cert: str | None) -> str:
    with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
        get(port, "/livez", files, cert)
    return str(caught.value)


def start(nodes: Nodes, files: Files, **tls: object) -> tuple[Node, str]:
    """A node that shows itself to the whole network, and the port of that."""
    port = nodes.ports.address().rsplit(":", 1)[1]
    settings = {"node": {"status_listen": f"0.0.0.0:{port}"}}
    (node,) = nodes.start(
        "a", groups=("sw:1:1",), settings=settings, tls=lambda name: {**files.settings(name), **tls}
    )
    return node, port


def test_certificates_and_roles_say_who_sees_a_node(nodes: Nodes, tmp_path: Path) -> None:
    files, others = authority(tmp_path / "ours"), authority(tmp_path / "others")
    for name in ("dash-1", "app", "nobody"):
        files.issue(name, name)
    others.issue("dash-1", "dash-1")
    node, port = start(nodes, files, readers=["dash-*"], writers=["app"])
    assert cli(files, "apply", "sw/n/1", "k=x", "--at", local(node), cert="app").code == 0

    for path in PATHS:
        assert get(port, path, files, "dash-1")[0] == 200, path
        status, said = get(port, path, files, "nobody")
        assert (status, "nobody, which has no role here" in said) == (403, True)
    assert '"sw/n/1"' in get(port, "/records?group=sw", files, "dash-1")[1]
    found = read_metrics(get(port, "/metrics", files, "dash-1")[1].encode())
    assert found[key("gossipnode_refused_calls_total", reason="role")] == len(PATHS)
    assert len(node.events("call refused")) == 1

    others.ca.write_bytes(files.ca.read_bytes())
    for _ in range(3):
        refused(port, files, None)
        refused(port, others, "dash-1")
    eventually(lambda: len(node.events(REFUSED)) == 2, "a line for each reason")
    assert {line["peer"] for line in node.events(REFUSED)} == {"127.0.0.1"}
    # A visitor that says nothing does not keep the node.
    with socket.create_connection(("127.0.0.1", int(port))):
        stop_all(node)


def test_renewed_files_count_for_the_next_visitors(nodes: Nodes, tmp_path: Path) -> None:
    old, new = authority(tmp_path / "old"), authority(tmp_path / "new")
    for each in (old, new):
        each.issue("dash-1", "dash-1")
    node, port = start(nodes, old)
    assert get(port, "/livez", old, "dash-1") == (200, "ok\n")
    for made in new.issue("a"):
        (old.directory / made.name).write_bytes(made.read_bytes())
    old.ca.write_bytes(new.ca.read_bytes())
    node.send(signal.SIGHUP)
    eventually(lambda: node.events("certificates read again"), "word of the new files")
    assert get(port, "/livez", new, "dash-1") == (200, "ok\n")
    refused(port, old, "dash-1")
    stop_all(node)
