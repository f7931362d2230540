"""The spans of one client's request: its own, and one for each replica that it asks.

The request that a task works for is known by a context variable, which its child tasks share.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from gossipnode.observe.traces.traces import NO_SPAN, Facts, OpenSpan, Traces

REQUEST_SPANS_MAX: Final = 256
"""Spans of replicas in the trace of one request. A long query may ask replicas any number of times."""


class RequestSpans:
    """The span of a request under way, and how many parts of it may still be told."""

    def __init__(self, traces: Traces, span: OpenSpan) -> None:
        """The parts of `span`, of which none has begun."""
        self._traces = traces
        self._parent = span.traceparent
        self._left = REQUEST_SPANS_MAX

    def part(self, name: str, facts: Facts) -> OpenSpan:
        """Begin a part of the request."""
        if not self._left:
            return NO_SPAN
        self._left -= 1
        return self._traces.follow(name, facts, self._parent)


_under_way: ContextVar[RequestSpans | None] = ContextVar("gossipnode request", default=None)


@contextmanager
def request_span(traces: Traces, name: str, facts: Facts, parent: str) -> Generator[OpenSpan]:
    """The span of a request, for as long as the block lasts. `parent` is what its client has sent."""
    with traces.begin(name, facts, parent, serves=True) as span:
        before = _under_way.set(RequestSpans(traces, span))
        try:
            yield span
        finally:
            _under_way.reset(before)


def replica_span(name: str, replica: str, facts: Facts) -> OpenSpan:
    """Begin the part that a replica has in the request of this task; nothing outside of a request."""
    known = _under_way.get()
    return NO_SPAN if known is None else known.part(name, {"gossipnode.replica": replica, **facts})


def replica_spans(name: str, replicas: Iterable[str], facts: Facts) -> dict[str, OpenSpan]:
    """The same for several replicas, by their names; none at all outside of a request."""
    if _under_way.get() is None:
        return {}
    return {replica: replica_span(name, replica, facts) for replica in replicas}
