"""Spans: a piece of work with its beginning, its end, and the larger piece that it is a part of.

Each room asks `Traces` for a span when it begins its work. The spans of this module record nothing, and a
node has them unless OpenTelemetry is set up in its process; busy paths test `Traces.on` before they do more.
The parent of a span is named by a text, the `traceparent` of W3C, because it is often in another process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar, Final, TypeAlias

from gossipnode import __version__

Facts: TypeAlias = Mapping[str, str | int | float]
"""What is told of a piece of work. The names begin with `gossipnode.` or are those of OpenTelemetry."""


class OpenSpan:
    """A piece of work under way. Of this one nothing is recorded.

    As a context manager it ends with its block, and has failed if that raises.
    """

    @property
    def traceparent(self) -> str:
        """What names this span to those who work on a part of it; empty if it is not recorded."""
        return ""

    def note(self, facts: Facts) -> None:
        """Tell more of the work."""

    def failed(self, problem: str) -> None:
        """The work did not come to what it was for."""

    def end(self, problem: str = "") -> None:
        """The work is over; if there is a `problem`, it has failed."""

    def __enter__(self) -> OpenSpan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.end(f"{type(error).__name__}: {error}")
        else:
            self.end("" if error is None else "cancelled")


NO_SPAN: Final = OpenSpan()


class Traces:
    """Gives spans to those who work. This one gives `NO_SPAN` to all of them."""

    on: ClassVar[bool] = False
    """Whether spans are recorded."""

    def begin(self, name: str, facts: Facts, parent: str = "", *, serves: bool = False) -> OpenSpan:
        """Begin a piece of work: the first one of a trace of its own, if no `parent` is given.

        A `parent` that is no traceparent counts as none. With `serves`, the work is for another process.
        """
        return NO_SPAN

    def follow(self, name: str, facts: Facts, parent: str, *, serves: bool = False) -> OpenSpan:
        """Begin a part of a larger piece of work. Nothing is recorded if nobody records that one."""
        return self.begin(name, facts, parent, serves=serves) if parent and self.on else NO_SPAN


NO_TRACES: Final = Traces()


def process_traces() -> Traces:
    """Spans for whatever tracer provider has been set up in this process, or none.

    Nobody can have set one up without the API of OpenTelemetry, which is not imported to find that out.
    """
    if "opentelemetry.trace" not in sys.modules:
        return NO_TRACES
    from gossipnode.observe.traces.otel_traces import OtelTraces, has_provider

    return OtelTraces("gossipnode", __version__) if has_provider() else NO_TRACES


def current_traceparent() -> str:
    """What names the span under way in an application that uses our client library; empty without one."""
    if "opentelemetry.trace" not in sys.modules:
        return ""
    from gossipnode.observe.traces.otel_traces import traceparent_of_current

    return traceparent_of_current()
