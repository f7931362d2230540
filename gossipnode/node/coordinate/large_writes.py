"""Turns for large writes, so that together they never overfill what lies on their way to the replicas.

A large write waits for its turn as long as its client does. A small one needs none, and passes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from gossipnode.concurrency.fair_turns import FairTurns, Turn
from gossipnode.concurrency.shares import Caller
from gossipnode.core.model.property import Record
from gossipnode.core.query.replica_messages import WRITE_MAX_RECORDS

LARGE_WRITE_BYTES = 64 << 10
"""A write whose records have this number of bytes or more is large."""

LARGE_WRITES_AT_ONCE = 16
"""Large writes on their way, of about 1 MiB each at most. A caller alone has half of them.

The link to a replica has room for them (`EXCHANGE_UNDER_WAY_BYTES`), and a replica can store those of one
caller well within `REPLICA_SECONDS`.
"""

WRITE_MAX_BYTES = 1 << 20
"""Bytes of records in one request to a replica, so that requests of other clients get their turn."""

OWN_WORK = Caller("this node", member=True)
"""The caller of writes that no client has asked for."""


class LargeWrites:
    """Gives large writes their turns, to callers in turn."""

    def __init__(self) -> None:
        """None is under way."""
        self._turns = FairTurns(LARGE_WRITES_AT_ONCE, held=LARGE_WRITES_AT_ONCE, stalled_seconds=math.inf)

    def turn(self, caller: Caller, size_bytes: int) -> AbstractAsyncContextManager[Turn | None]:
        """The turn of a write of records with `size_bytes`, for as long as the block lasts."""
        return nullcontext() if size_bytes < LARGE_WRITE_BYTES else self._turns.hold(caller)


def request_chunks(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut records into lists for one request each."""
    chunk: list[Record] = []
    size = 0
    for record in records:
        if chunk and (len(chunk) == WRITE_MAX_RECORDS or size + len(record.payload) > WRITE_MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += len(record.payload)
    if chunk:
        yield chunk
