"""Traces of real nodes, sent to a collector that the test plays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.system.nodes import Nodes
from tests.system.processes import command, eventually

pytestmark = pytest.mark.slow


class Collector:
    """Takes what is sent to `/v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """Each with the node that sent it."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, sent: ExportTraceServiceRequest) -> None:
        for of_resource in sent.resource_spans:
            about = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            assert about["service.name"] == "gossipnode"
            for of_scope in of_resource.scope_spans:
                self.spans += [(about["service.instance.id"], span) for span in of_scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_a_round_over_three_nodes_is_one_trace(nodes: Nodes, collector: Collector) -> None:
    a, b, c = nodes.start("a", "b", "c", settings={"traces": {"endpoint": collector.url}})
    assert command("apply", "sw/n/1", "x=1", "--at", b.address).code == 0
    assert command("repair", "sw", "--wait", "--at", a.address).code == 0
    # What is not sent yet is sent as they stop.
    assert [node.stop() for node in (a, b, c)] == [0, 0, 0]
    found = eventually(lambda: [each for each in collector.spans if each[1].name == "round"], "round")
    ((origin, whole),) = found
    assert origin == "a"
    hops = sorted(
        (span.start_time_unix_nano, node)
        for node, span in collector.spans
        if span.parent_span_id == whole.span_id
    )
    assert [node for _, node in hops] == ["a", "b", "c"]
    (applied,) = [span for _, span in collector.spans if span.name.endswith("NodeService/Apply")]
    asked = [span for _, span in collector.spans if span.parent_span_id == applied.span_id]
    assert len(asked) >= 4
    for node in (a, b, c):
        assert node.events("traces are sent")
        node.assert_no_defect()


def test_a_collector_that_is_away_keeps_nobody(nodes: Nodes) -> None:
    away = f"http://{nodes.ports.address()}"
    (node,) = nodes.start("a", groups=("sw:1:1",), settings={"traces": {"endpoint": away}})
    assert command("apply", "sw/n/1", "x=1", "--at", node.address).code == 0
    assert node.stop() == 0
    node.assert_no_defect()
