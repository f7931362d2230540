"""Traces that the SDK of OpenTelemetry records in memory."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler

from gossipnode.observe.traces.otel_traces import OtelTraces


class Recorded:
    """`traces` to be handed to nodes, and the spans that they have ended."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(sampler), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = OtelTraces("gossipnode", "0", provider)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Those of a name, in the order in which they began."""
        found = [span for span in self._exporter.get_finished_spans() if not name or span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span

    def parts(self, of: ReadableSpan) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.parent and span.parent.span_id == of.context.span_id]


def facts(spans: Sequence[ReadableSpan], name: str) -> list[object]:
    """One fact of several spans."""
    return [(span.attributes or {}).get(f"gossipnode.{name}") for span in spans]
