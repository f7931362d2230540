"""The requests of clients that this replica has carried out lately, so that a retry does not write again.

They are kept in memory alone, and a restart forgets them. What is kept of a request is small, however large
its record is. See `core.query.request_lineage` for the rule.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import REQUEST_ID_MAX_CHARACTERS, KnownRequest, Lineage

REQUESTS_REMEMBERED_SECONDS = 600.0
REQUESTS_REMEMBERED_MAX = 65_536
"""How long, and of how many records, requests are recognised when they come again.

A record takes some 700 bytes, and 200 bytes for each further request.
"""

REQUESTS_OF_RECORD_MAX = 32
"""How many requests of one record are remembered: the latest. A batch of answers may hold all of them."""


class _Remembered(NamedTuple):
    known: KnownRequest
    until: float


@dataclass(slots=True)
class _OfRecord:
    """What is remembered of one record."""

    version: Version
    """The version that took part in the last write: the lineage is that of this one."""
    since: int
    until: float = 0.0
    requests: dict[str, _Remembered] = field(default_factory=dict[str, _Remembered])


class RequestMemory:
    """Request ids by record, for ten minutes each; the records written longest ago go first."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        """Start with no memory."""
        self._records: OrderedDict[tuple[ShardId, Entity], _OfRecord] = OrderedDict()

    def __len__(self) -> int:
        """Of how many records something is remembered."""
        return len(self._records)

    def took(
        self,
        shard: ShardId,
        entity: Entity,
        version: Version,
        before: Lineage,
        request_id: str,
        *,
        created: bool,
    ) -> None:
        """Remember a write that we hold now, of a version built upon one with the lineage `before`.

        An id that is empty or too long is not remembered.
        """
        now = trio.current_time()
        until = now + REQUESTS_REMEMBERED_SECONDS
        earlier = self._records.pop((shard, entity), None)
        kept = {} if earlier is None else earlier.requests
        # Of what was stamped after `since` we are told all; the rest may be included.
        requests = {
            name: each for name, each in kept.items() if each.until > now and each.known.stamp <= before.since
        }
        for known in before.known:
            again = kept.get(known.request_id)
            requests[known.request_id] = _Remembered(known, until if again is None else again.until)
        if 0 < len(request_id) <= REQUEST_ID_MAX_CHARACTERS:
            requests.pop(request_id, None)
            own = KnownRequest(request_id, created, version.mod_revision)
            requests[request_id] = _Remembered(own, until)
        while len(requests) > REQUESTS_OF_RECORD_MAX:
            del requests[next(iter(requests))]
        self._records[shard, entity] = _OfRecord(version, before.since, until, requests)
        while len(self._records) > REQUESTS_REMEMBERED_MAX or next(iter(self._records.values())).until <= now:
            self._records.popitem(last=False)

    def lineage(self, shard: ShardId, entity: Entity, held: Version | None) -> Lineage:
        """What is known of the version that we hold now, on whatever path it came."""
        if held is None:
            return Lineage()
        kept, now = self._records.get((shard, entity)), trio.current_time()
        if kept is None or kept.until <= now:
            return Lineage((), held.stamp)
        known = tuple(each.known for each in kept.requests.values() if each.until > now)
        return Lineage(known, kept.since if kept.version == held else held.stamp)
