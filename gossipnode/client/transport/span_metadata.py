"""Has nodes continue the trace of an application that records one."""

from __future__ import annotations

from gossipnode.observe.traces.traces import current_traceparent


def span_metadata() -> dict[str, str]:
    """What goes with a call: the span that is current in the application, or nothing."""
    span = current_traceparent()
    return {"traceparent": span} if span else {}
