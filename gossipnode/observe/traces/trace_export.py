"""Sends traces to a collector, with the SDK of OpenTelemetry. The SDK is the extra `traces` of this package.

The SDK sends from a thread of its own, in batches. Its queue is bounded: where the collector is slow or away,
spans are dropped and the node does not wait. Its variables of the environment (OTEL_...) count, too.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

import structlog
import trio

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_SECONDS: Final = 2.0
"""How long a node that stops waits for its last spans to be sent."""

INSTALL: Final = "pip install 'gossipnode[traces]'"
_NEEDED: Final = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class SdkMissingError(Exception):
    """Traces are to be sent, and the packages that send them are not installed."""


def traces_wanted(endpoint: str, environ: Mapping[str, str]) -> bool:
    """Whether the settings, or the environment, name a collector, and nothing switches traces off."""
    switched_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if switched_off or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return bool(endpoint) or any(environ.get(name) for name in _ENDPOINTS)


def check_sdk(endpoint: str, environ: Mapping[str, str]) -> None:
    """Look whether what sends traces is there, if the settings ask for them.

    Raises:
        SdkMissingError: it is not.
    """
    if endpoint and traces_wanted(endpoint, environ):
        try:
            for module in _NEEDED:
                import_module(module)
        except ImportError as error:
            raise SdkMissingError(f"[traces] endpoint: there is no module {error.name}: {INSTALL}") from None


@asynccontextmanager
async def traces_sent(node: str, endpoint: str, environ: Mapping[str, str]) -> AsyncGenerator[None]:
    """Send the traces of this process, for as long as the block lasts, if they are wanted.

    `endpoint` is that of the settings. Where only the environment asks for traces, which may be meant for
    other programs, and the SDK is not installed, the log says so.

    Raises:
        SdkMissingError: the settings ask for them, and the SDK is not installed.
    """
    log = structlog.get_logger("gossipnode.traces")
    check_sdk(endpoint, environ)
    provider = None
    if traces_wanted(endpoint, environ):
        try:
            provider = _set_up(node, endpoint, environ)
        except ImportError:
            log.warning("no traces are sent: OTEL_... asks for them, but the SDK is missing", todo=INSTALL)
        else:
            log.info("traces are sent", endpoint=endpoint or next(filter(None, map(environ.get, _ENDPOINTS))))
    try:
        yield
    finally:
        if provider is not None:
            with trio.move_on_after(FLUSH_SECONDS, shield=True):
                await trio.to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)


def _set_up(node: str, endpoint: str, environ: Mapping[str, str]) -> TracerProvider:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # What it says of each try that fails would be many lines; what it gives up, it says as an error.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    attributes = {"service.instance.id": node}
    said = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "OTEL_SERVICE_NAME" not in environ and "service.name=" not in said:
        attributes["service.name"] = "gossipnode"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces" if endpoint else None)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider
