"""An application that records a trace has nodes continue it, under Trio and under asyncio."""

from __future__ import annotations

import anyio
from opentelemetry import trace

from gossipnode.client import connect
from tests.client.scripted_node import Scripted

CONTEXT = trace.SpanContext(0xAB, 0xCD, is_remote=False, trace_flags=trace.TraceFlags(1))


def test_calls_name_the_span_that_is_current(backend: str, address: str, node: Scripted) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await client.get("g", "n", "1")
            with trace.use_span(trace.NonRecordingSpan(CONTEXT)):
                await client.get("g", "n", "1")
                async for _ in client.query("g", name="n", limit=1):
                    pass
            await client.get("g", "n", "1")

    anyio.run(work, backend=backend)
    span = f"00-{0xAB:032x}-{0xCD:016x}-01"
    assert node.traceparents == [None, span, span, None]
