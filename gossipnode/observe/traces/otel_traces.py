"""Spans of OpenTelemetry. The only module that imports its API."""

from __future__ import annotations

from typing import ClassVar, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gossipnode.observe.traces.traces import Facts, OpenSpan, Traces

FACT_MAX_CHARACTERS: Final = 300
"""Of a text that others may have chosen, such as the reason of a hop."""

_TRACEPARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


class OtelSpan(OpenSpan):
    """A span that is recorded, unless a sampler has left it out."""

    def __init__(self, span: trace.Span) -> None:
        """Take over a span that has begun."""
        self._span = span

    @property
    def traceparent(self) -> str:
        """See `OpenSpan.traceparent`."""
        return _text(self._span)

    def note(self, facts: Facts) -> None:
        """See `OpenSpan.note`."""
        self._span.set_attributes(_bounded(facts))

    def failed(self, problem: str) -> None:
        """See `OpenSpan.failed`."""
        self._span.set_status(trace.StatusCode.ERROR, problem[:FACT_MAX_CHARACTERS])

    def end(self, problem: str = "") -> None:
        """See `OpenSpan.end`."""
        if problem:
            self.failed(problem)
        self._span.end()


class OtelTraces(Traces):
    """Begins spans with the tracer provider of this process."""

    on: ClassVar[bool] = True

    def __init__(self, name: str, version: str, provider: trace.TracerProvider | None = None) -> None:
        """The spans say that they come from the library `name` of this version."""
        self._tracer = trace.get_tracer(name, version, provider)

    def begin(self, name: str, facts: Facts, parent: str = "", *, serves: bool = False) -> OpenSpan:
        """See `Traces.begin`."""
        # An empty context as the base: what is current in this task may be the work of somebody else.
        within = _PROPAGATOR.extract({_TRACEPARENT: parent}, Context()) if parent else Context()
        kind = trace.SpanKind.SERVER if serves else trace.SpanKind.INTERNAL
        return OtelSpan(self._tracer.start_span(name, within, kind, _bounded(facts)))


def has_provider() -> bool:
    """Whether somebody has set up a tracer provider, as an SDK does."""
    provider = trace.get_tracer_provider()
    return not isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider)


def traceparent_of_current() -> str:
    """What names the span that is current here; empty if there is no valid one."""
    return _text(trace.get_current_span())


def _text(span: trace.Span) -> str:
    if not span.get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(_TRACEPARENT, "")


def _bounded(facts: Facts) -> dict[str, str | int | float]:
    return {
        name: fact[:FACT_MAX_CHARACTERS] if isinstance(fact, str) else fact for name, fact in facts.items()
    }
