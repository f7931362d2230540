"""What the log was told of the states of things: a state is told when it changes, not with every try."""

from __future__ import annotations

import logging
from collections.abc import Hashable

import structlog

TOLD_MAX_THINGS = 4096
"""The last state of these is known. Of others, one whose state comes again is told of again."""


class ToldStates:
    """The last state that was told of each thing, for example why a shard is not filled from a member."""

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        """Tell `log`, which was told of nothing yet."""
        self._log = log
        self._told: dict[Hashable, str] = {}

    def tell(
        self, thing: Hashable, event: str, *, reason: str, level: int = logging.INFO, **details: object
    ) -> None:
        """Tell why a thing is as it is. If that was told last time as well, only those who debug hear it."""
        known = self._told.pop(thing, None)
        if known is None and len(self._told) >= TOLD_MAX_THINGS:
            del self._told[next(iter(self._told))]
        self._told[thing] = reason
        self._log.log(level if reason != known else logging.DEBUG, event, reason=reason, **details)

    def is_over(self, thing: Hashable) -> None:
        """The thing is in no state that is worth a line, so that the next one is told."""
        self._told.pop(thing, None)
