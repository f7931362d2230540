"""The metrics of one node: what was counted from its events, and what it is asked for at each scrape."""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, ProcessCollector

from gossipnode.concurrency.loop_steps import in_short_steps
from gossipnode.observe.events import Events
from gossipnode.observe.metrics.event_counts import EventCounts
from gossipnode.observe.metrics.figure_lines import FigureLines
from gossipnode.observe.node_view import NodeView

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NodeMetrics:
    """Answers scrapes."""

    def __init__(self, view: NodeView, events: Events) -> None:
        """Ask `view` at each scrape, and count `events` from now on."""
        self._view = view
        # When a counter was made is a series more for each of its labels, and nobody looks at it.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counts = EventCounts(self._registry)
        self._lines = FigureLines()
        events.listen(self._counts.count)

    async def text(self) -> bytes:
        """All metrics, as `CONTENT_TYPE`."""
        figures = await self._view.figures()
        self._counts.follow_groups(figures.groups)
        gathered = await in_short_steps(self._lines.write(figures))
        return prometheus_client.generate_latest(self._registry) + gathered.encode()
