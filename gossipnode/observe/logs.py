"""Structured logs on stderr: readable on a terminal, one JSON object a line otherwise.

Every line of a round carries round, hop, peer, group and shard. What libraries say through `logging` takes
the same form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from gossipnode.observe.printable import printable, printable_json, printable_lines


def configure_logs(level: str = "info", *, json: bool | None = None) -> None:
    """Set up logging for the whole process. `json` None decides by whether stderr is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Any] = [structlog.processors.format_exc_info]
    if as_json:
        last.append(structlog.processors.JSONRenderer(ensure_ascii=False))
        if sys.stderr.isatty():
            last.append(_printable_line)
    else:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        last += [_printable_event, renderer]
    handler = _LossyHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gossipnode").setLevel(level.upper())


class _LossyHandler(logging.StreamHandler[TextIO]):
    """Drops the lines that stderr does not take, because it is full or closed. The node goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Say nothing: it could only be said on stderr."""


def _printable_line(_logger: object, _method: str, line: str) -> str:
    return printable_json(line)


def _printable_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The event as it may stand on a terminal: names and values come from clients and peers."""
    return {printable(str(key)): _printable_value(key, value) for key, value in event.items()}


def _printable_value(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return printable_lines(text) if key in ("exception", "stack") else printable(text)
