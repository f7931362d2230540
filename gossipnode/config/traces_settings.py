"""The settings of traces: where they are sent."""

from __future__ import annotations

import msgspec


class TracesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where traces are sent, in OTLP over HTTP."""

    endpoint: str = ""
    """The collector, without the path `/v1/traces`. Empty: what the environment says for OpenTelemetry."""
