"""Spans: what is recorded, what names their parents, and that nothing is without a provider."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from gossipnode.observe.traces import request_spans
from gossipnode.observe.traces.otel_traces import FACT_MAX_CHARACTERS
from gossipnode.observe.traces.request_spans import replica_span, replica_spans, request_span
from gossipnode.observe.traces.traces import NO_SPAN, NO_TRACES, current_traceparent, process_traces
from tests.observe.traces.recorded import Recorded

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


def test_a_span_is_a_part_of_the_one_that_is_named() -> None:
    recorded = Recorded()
    recorded.traces.begin("x", {"gossipnode.hop": 1}, PARENT).end()
    span = recorded.one("x")
    assert f"{span.context.trace_id:032x}" == "ab" * 16
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "cd" * 8
    assert span.attributes == {"gossipnode.hop": 1}
    assert span.status.is_unset


@pytest.mark.parametrize("parent", ["", "x", f"00-{'0' * 32}-{'cd' * 8}-01", f"ff-{'ab' * 16}-{'cd' * 8}-01"])
def test_what_names_no_span_is_no_parent(parent: str) -> None:
    recorded = Recorded()
    recorded.traces.begin("x", {}, parent).end()
    assert recorded.one("x").parent is None


def test_a_span_names_itself_to_its_parts() -> None:
    recorded = Recorded()
    with recorded.traces.begin("whole", {}) as whole:
        recorded.traces.follow("part", {}, whole.traceparent).end()
    assert recorded.parts(recorded.one("whole")) == [recorded.one("part")]


def test_what_fails_says_why_in_a_bounded_text() -> None:
    recorded = Recorded()
    with pytest.raises(ValueError, match="no"), recorded.traces.begin("x", {"gossipnode.reason": "r" * 999}):
        raise ValueError("no" * 999)
    span = recorded.one("x")
    assert not span.status.is_ok
    assert str(span.status.description).startswith("ValueError: nono")
    assert len(str(span.status.description)) == FACT_MAX_CHARACTERS
    assert span.attributes == {"gossipnode.reason": "r" * FACT_MAX_CHARACTERS}


def test_what_a_sampler_leaves_out_is_left_out_with_all_of_its_parts() -> None:
    recorded = Recorded(ALWAYS_OFF)
    with recorded.traces.begin("whole", {}) as whole:
        assert whole.traceparent
    elsewhere = Recorded()
    elsewhere.traces.follow("part", {}, whole.traceparent).end()
    assert recorded.spans() + elsewhere.spans() == []


def test_nothing_follows_what_nobody_records() -> None:
    recorded = Recorded()
    assert recorded.traces.follow("x", {}, "") is NO_SPAN
    assert NO_TRACES.follow("x", {}, PARENT) is NO_SPAN
    assert replica_span("x", "a", {}) is NO_SPAN
    assert replica_spans("x", ["a"], {}) == {}


def test_the_parts_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_spans, "REQUEST_SPANS_MAX", 3)
    recorded = Recorded()
    with request_span(recorded.traces, "request", {}, ""):
        for span in replica_spans("read", "abcde", {}).values():
            span.end()
    assert len(recorded.parts(recorded.one("request"))) == 3


def test_the_span_of_an_application_is_named_to_nodes() -> None:
    assert current_traceparent() == ""
    context = trace.SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert current_traceparent() == f"00-{0xAB:032x}-{0xCD:016x}-01"


def test_without_a_provider_nothing_is_recorded() -> None:
    """The tests set up none for the whole process."""
    assert process_traces() is NO_TRACES


@pytest.mark.slow
def test_a_process_that_records_nothing_does_not_import_opentelemetry() -> None:
    script = (
        "import sys, random; from gossipnode.node.node import run_node; from gossipnode.node.world import *; "
        "import gossipnode.client; world = real_world(None); assert not world.traces.on; "
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
