"""The requests of clients that this replica has carried out lately, so that a retry does not write again.

They are kept in memory alone, and a restart forgets them. What is kept of a request is small, however large
its record is.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.node.refusals.request_checks import REQUEST_ID_MAX_CHARACTERS

REQUESTS_REMEMBERED_SECONDS = 600.0
REQUESTS_REMEMBERED_MAX = 65_536
"""How long, and how many, requests are recognised when they come again. Each takes some 300 bytes."""


class DoneRequest(NamedTuple):
    """What a request wrote, and what its client was told, or was to be told."""

    shard: ShardId
    entity: Entity
    created: bool


class RequestMemory:
    """Request ids, for ten minutes each; the oldest go first when there are too many."""

    __slots__ = ("_done",)

    def __init__(self) -> None:
        """Start with no memory."""
        self._done: OrderedDict[str, tuple[float, DoneRequest]] = OrderedDict()

    def remember(self, request_id: str, done: DoneRequest) -> None:
        """Remember that a request was carried out. An id that is empty or too long is not remembered."""
        if not request_id or len(request_id) > REQUEST_ID_MAX_CHARACTERS:
            return
        now = trio.current_time()
        self._done[request_id] = (now + REQUESTS_REMEMBERED_SECONDS, done)
        self._done.move_to_end(request_id)
        while self._done and (
            len(self._done) > REQUESTS_REMEMBERED_MAX or next(iter(self._done.values()))[0] <= now
        ):
            self._done.popitem(last=False)

    def recall(self, request_id: str) -> DoneRequest | None:
        """What a request did, if it was carried out before."""
        kept = self._done.get(request_id) if request_id else None
        if kept is None or kept[0] <= trio.current_time():
            return None
        return kept[1]
