"""Handlers of clients' requests on records, each within the span of its request.

Only a node that records traces has them. What lasts as long as a client likes, such as a watch or an import,
has no trace: it would be one of hours, with any number of parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog.contextvars

from gossipnode.node.peers import call_metadata
from gossipnode.observe.traces.request_spans import request_span
from gossipnode.observe.traces.traces import OpenSpan, Traces
from gossipnode.rpc import CallContext, Cardinality, Method, ServerStream
from gossipnode.wire import services

TRACED_METHODS = (
    services.APPLY,
    services.DELETE,
    services.QUERY,
    services.NODE_APPLY,
    services.NODE_DELETE,
    services.NODE_GET,
    services.NODE_QUERY,
)


def traced_handlers(handlers: Mapping[Any, Any], traces: Traces) -> dict[Any, Any]:
    """The same handlers; those of `TRACED_METHODS` begin a span, and name its trace in lines of the log."""
    traced = {method: _traced(method, handlers[method], traces) for method in TRACED_METHODS}
    return {**handlers, **traced}


def _traced(method: Method[Any, Any], handler: Any, traces: Traces) -> Any:
    async def unary(request: Any, call: CallContext) -> Any:
        with _span(traces, method, call) as span:
            _lines_name(span)
            return await handler(request, call)

    async def streaming(stream: ServerStream[Any, Any]) -> None:
        with _span(traces, method, stream.call) as span:
            _lines_name(span)
            await handler(stream)

    return unary if method.cardinality is Cardinality.UNARY_UNARY else streaming


def _span(traces: Traces, method: Method[Any, Any], call: CallContext) -> AbstractContextManager[OpenSpan]:
    name = method.path.removeprefix("/")
    service, _, rpc = name.partition("/")
    facts = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc}
    return request_span(traces, name, facts, call_metadata.traceparent(call.metadata))


def _lines_name(span: OpenSpan) -> None:
    """Have the lines of the log that this task and its children write name the trace."""
    if span.traceparent:
        structlog.contextvars.bind_contextvars(trace=span.traceparent.split("-")[1])
