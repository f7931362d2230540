"""The trace of a query, as the compatible service sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.pb import Timestamp


class TraceSpan(NamedTuple):
    """A part of the work on a query. Times are nanoseconds since 1970."""

    message: str
    start: int
    end: int
    tags: Mapping[str, str]
    failed: bool = False
    children: Sequence[TraceSpan] = ()


def encode_trace(trace_id: str, root: TraceSpan) -> common.Trace:
    """The message of a trace."""
    return common.Trace(trace_id=trace_id, spans=[_span(root)], error=root.failed)


def _span(span: TraceSpan) -> common.Span:
    return common.Span(
        start_time=_moment(span.start),
        end_time=_moment(span.end),
        error=span.failed,
        tags=[common.Tag(key=key, value=value) for key, value in span.tags.items()],
        message=span.message,
        children=[_span(child) for child in span.children],
        duration=span.end - span.start,
    )


def _moment(nanoseconds: int) -> bytes:
    seconds, nanos = divmod(nanoseconds, NANOSECONDS_PER_SECOND)
    return Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
