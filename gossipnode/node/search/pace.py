"""Lets other tasks have their turn, now and then, in a loop that compares records with criteria."""

from __future__ import annotations

import trio

from gossipnode.core.query.criteria import Criteria, count_conditions

COMPARED_BETWEEN_TURNS_BYTES = 256 << 10
"""Payloads that are parsed before other tasks get their turn: a few milliseconds."""

CONDITION_WEIGHT_BYTES = 100
"""To compare one condition with a record takes as long as to parse this number of bytes."""


class Pace:
    """The pace of one loop after the other, for the same criteria."""

    def __init__(self, criteria: Criteria | None) -> None:
        """The records are compared with these."""
        self._record_weight = CONDITION_WEIGHT_BYTES * count_conditions(criteria)
        self._done = 0

    async def compared(self, payload_bytes: int) -> None:
        """A record with a payload of this size was compared."""
        self._done += payload_bytes + self._record_weight
        if self._done >= COMPARED_BETWEEN_TURNS_BYTES:
            self._done = 0
            await trio.lowlevel.checkpoint()
