"""Answers queries and exports: sends records in messages of a good size, and makes the trace of a query.

The compatible service and our own share it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import trio

from gossipnode.concurrency.fair_turns import Turn
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import Record
from gossipnode.node.query.queries import ClusterQuery, QueryTrace
from gossipnode.node.replica.scan import STREAM_MESSAGE_BYTES
from gossipnode.rpc import ServerStream
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.query.trace_codec import TraceSpan, encode_trace
from gossipnode.wire.record_codec import encode_batch, encode_record

STREAM_PAUSE_SECONDS = 2.0
"""A stream of records sends a message this often, an empty one if need be, or its client would give up."""

TRACE_ID_BITS = 64


def new_trace_id(rng: random.Random) -> str:
    """The id of a trace, in hex."""
    return f"{rng.getrandbits(TRACE_ID_BITS):016x}"


class QueryTimer:
    """Times a query, and makes its trace."""

    def __init__(self, wall_clock: Callable[[], int], trace_id: str) -> None:
        """Start now. `wall_clock` gives nanoseconds since 1970."""
        self._wall_clock = wall_clock
        self._trace_id = trace_id
        self._began = wall_clock()

    def trace(self, own_name: str, trace: QueryTrace, found: int) -> common.Trace:
        """The trace as of now: a span for the query, and one below it for each replica that searched."""
        children = [
            TraceSpan(
                f"search on {report.replica}",
                self._began,
                self._began + round(report.seconds * 1e9),
                {
                    "node": report.replica,
                    "shards": ", ".join(str(shard) for shard in report.shards),
                    "index": report.used_index or "none: all records are read",
                    "rows read": str(report.rows_read),
                    "candidates": str(report.candidates),
                    **({"error": report.failure} if report.failure else {}),
                },
                bool(report.failure),
            )
            for report in trace.reports
        ]
        tags = {"node": own_name, "records": str(found), "read by key": str(trace.read_by_key)}
        root = TraceSpan("query", self._began, self._wall_clock(), tags, False, children)
        return encode_trace(self._trace_id, root)


class RecordSender:
    """Sends records in messages of a good size, however small the pages are.

    Now and then it sends an empty message, because a long search must not look like a node that is gone.
    """

    def __init__(self, stream: ServerStream[Any, v1.RecordBatch]) -> None:
        """Made by `record_sender`."""
        self._stream = stream
        self._batch: list[v1.Record] = []
        self._size = 0
        self.sending = trio.Lock()
        """Held while a message is being sent. Cancelling that would lose the records in it."""
        self._sent_at = trio.current_time()
        self.turn: Turn | None = None
        """The place that the answer holds, once it has one."""
        self.sent = 0

    async def add(self, records: Sequence[Record]) -> None:
        """Send these records, or keep them for the next message."""
        for record in records:
            self._batch.append(encode_record(record))
            self._size += len(record.payload)
            self.sent += 1
            if self._size >= STREAM_MESSAGE_BYTES:
                await self.flush()

    async def flush(self, trace: common.Trace | None = None) -> None:
        """Send what is kept."""
        # A message that is being sent holds up this one: it is the client, too, who does not take that.
        with nullcontext() if self.turn is None else self.turn.handing_over():
            async with self.sending:
                batch = encode_batch(self._batch, trace)
                self._batch, self._size = [], 0
                await self._stream.send(batch)
                self._sent_at = trio.current_time()

    async def show_life(self) -> None:
        """Send what is kept, or an empty message, whenever nothing was sent for a while."""
        while True:
            await trio.sleep_until(self._sent_at + STREAM_PAUSE_SECONDS)
            if trio.current_time() >= self._sent_at + STREAM_PAUSE_SECONDS:
                await self.flush()

    async def send_all(self, query: ClusterQuery) -> None:
        """Send everything that a query finds. What is left over stays kept."""
        while (page := await query.next_page()) is not None:
            await self.add(page)

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._batch


@asynccontextmanager
async def record_sender(stream: ServerStream[Any, v1.RecordBatch]) -> AsyncGenerator[RecordSender]:
    """A sender that shows signs of life for as long as the block lasts."""
    sender = RecordSender(stream)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.show_life)
            yield sender
            async with sender.sending:
                nursery.cancel_scope.cancel()
