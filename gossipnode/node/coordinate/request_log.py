"""Which request a line of the log is about."""

from __future__ import annotations

import structlog.contextvars


def lines_name(request_id: str) -> None:
    """Every line that this task and its children log from now on names the request, if it has an id."""
    if request_id:
        structlog.contextvars.bind_contextvars(request=request_id)
