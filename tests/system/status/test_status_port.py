"""Metrics and health of a real node, over a real socket."""

from __future__ import annotations

import http.client
import socket

import pytest

from tests.observe.metrics.reading import key, read_metrics
from tests.system.nodes import Nodes
from tests.system.processes import command, eventually

pytestmark = pytest.mark.slow


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_node_is_watched_from_its_start_to_its_end(nodes: Nodes) -> None:
    status = nodes.ports.address()
    (node,) = nodes.plan("a", groups=("sw:2:1",), settings={"node": {"status_listen": status}})
    node.start()
    eventually(lambda: get(status, "/readyz") == (200, b"ok\n"), "readiness")
    assert command("apply", "sw/n/1", "x=1", "--at", node.address).code == 0
    code, body = get(status, "/metrics")
    assert code == 200
    found = read_metrics(body)
    records = [found[key("gossipnode_records", group="sw", shard=shard)] for shard in "01"]
    assert sorted(records) == [0, 1]
    assert found[key("gossipnode_store_commit_seconds_count")] > 0
    assert found[key("process_open_fds")] > 0
    # A browser that keeps its connection does not keep the node.
    with socket.create_connection(status.split(":")) as browser:
        browser.sendall(b"GET /metr")
        assert node.stop() == 0


def test_a_status_port_in_use_is_one_line(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status = f"127.0.0.1:{taken.getsockname()[1]}"
        (node,) = nodes.plan("a", groups=("sw:1:1",), settings={"node": {"status_listen": status}})
        ended = node.try_start()
    assert ended is not None
    assert ended.code == 1
    assert ended.problem == (
        f"cannot listen at {status}: address already in use: another program listens there; "
        "choose another [node] status_listen, or stop it"
    )
