"""Structured logs on stderr: readable on a terminal, one JSON object a line otherwise.

Every line of a round carries round, hop, peer, group and shard. What libraries say through `logging` takes
the same form. No line holds a control character but the colours that are ours, wherever it goes: a file of
logs is read on a terminal, too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from gossipnode.observe.printable import (
    MESSAGE_MAX_CHARACTERS,
    printable,
    printable_json,
    printable_lines,
    shortened,
)

TRACEBACK_MAX_CHARACTERS = 100_000
_TRACEBACKS = ("exception", "stack")


def configure_logs(
    level: str = "info", form: str = "auto", *, write: Callable[[str], None] | None = None
) -> None:
    """Set up logging for the whole process, with lines of this level and above.

    `form` is console or json; auto decides by whether stderr is a terminal. Lines go to `write`, if it is
    given, and otherwise to stderr at once.
    """
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_empty,
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
        last += [_short_event, structlog.processors.JSONRenderer(ensure_ascii=False), _printable_line]
    else:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        last += [_printable_event, renderer]
    handler = _LossyHandler(sys.stderr) if write is None else _HandingHandler(write)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = logging.getLevelNamesMapping()[level.upper()]
    # Of what libraries say, only what may need somebody.
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger("gossipnode").setLevel(least)


class _LossyHandler(logging.StreamHandler[TextIO]):
    """Drops the lines that stderr does not take, because it is full or closed. The node goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Say nothing: it could only be said on stderr."""


class _HandingHandler(_LossyHandler):
    """Hands each line over instead of writing it."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(sys.stderr)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over the line of a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler does: a line ends nothing
            self.handleError(record)
        else:
            self._write(line + self.terminator)


def _without_empty(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A line without the fields that say nothing."""
    return {key: value for key, value in event.items() if value is not None and value != ""}


def _printable_line(_logger: object, _method: str, line: str) -> str:
    return printable_json(line)


def _short_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    return {shortened(str(key)): _short_value(key, value) for key, value in event.items()}


def _short_value(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    most = TRACEBACK_MAX_CHARACTERS if key in _TRACEBACKS else MESSAGE_MAX_CHARACTERS
    if isinstance(value, str):
        return shortened(value, most)
    return value if len(text := repr(value)) <= most else shortened(text, most)


def _printable_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The event as it may stand on a terminal: names and values come from clients and peers."""
    short = _short_event(_logger, _method, event)
    return {printable(key): _printable_value(key, value) for key, value in short.items()}


def _printable_value(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return printable_lines(text) if key in _TRACEBACKS else printable(text)
