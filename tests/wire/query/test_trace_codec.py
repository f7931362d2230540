"""The trace of a query, as a client of the compatible protocol reads it."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.generated.pb.banyandb.common.v1 import trace_pb2 as pb
from gossipnode.wire.query.trace_codec import TraceSpan, encode_trace

SECOND = 1_000_000_000
BEGAN = 1_800_000_000 * SECOND + 5


def read(root: TraceSpan) -> pb.Trace:
    """The trace as a stock client reads it."""
    return pb.Trace.FromString(encode(encode_trace("00ff", root)))


def nanoseconds(moment: Timestamp) -> int:
    return moment.seconds * SECOND + moment.nanos


def test_a_span_has_its_times_its_tags_and_its_children() -> None:
    children = [
        TraceSpan("search on a", BEGAN, BEGAN + 10, {"node": "a", "rows read": "3"}),
        TraceSpan("search on b", BEGAN + 1, BEGAN + 2 * SECOND, {"error": "no answer"}, failed=True),
    ]
    trace = read(TraceSpan("query", BEGAN, BEGAN + 3 * SECOND, {"node": "c"}, children=children))
    assert (trace.trace_id, trace.error) == ("00ff", False)
    (root,) = trace.spans
    assert (root.message, root.duration, root.error) == ("query", 3 * SECOND, False)
    assert (nanoseconds(root.start_time), nanoseconds(root.end_time)) == (BEGAN, BEGAN + 3 * SECOND)
    assert {tag.key: tag.value for tag in root.tags} == {"node": "c"}
    assert [(span.message, span.duration, span.error) for span in root.children] == [
        ("search on a", 10, False),
        ("search on b", 2 * SECOND - 1, True),
    ]
    assert [(tag.key, tag.value) for tag in root.children[0].tags] == [("node", "a"), ("rows read", "3")]
    assert nanoseconds(root.children[1].start_time) == BEGAN + 1


def test_the_trace_of_a_failed_query_says_so() -> None:
    trace = read(TraceSpan("query", BEGAN, BEGAN, {}, failed=True))
    assert trace.error
    assert trace.spans[0].error


def test_times_before_1970_keep_their_nanoseconds() -> None:
    """A wall clock may be wrong; the parts of a moment before 1970 still add up."""
    trace = read(TraceSpan("query", -1, 1, {}))
    start = trace.spans[0].start_time
    assert (start.seconds, start.nanos) == (-1, SECOND - 1)
    assert trace.spans[0].duration == 2
