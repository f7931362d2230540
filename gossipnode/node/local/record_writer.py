"""The one way by which records get into this node's store: from clients, coordinators and sessions alike.

Clock and digest filler hear of every write here, so none of them is ever older than the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.retention.marks import Entry, Way
from gossipnode.node.local.clock import Clock
from gossipnode.store.interface import Store
from gossipnode.wire.replica.arrival_codec import encode_kept_arrival

NANOSECONDS_PER_MILLISECOND = 1_000_000


class RecordWriter:
    """Writes records to the store, and tells clock and digest filler of them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Write to `store`; `clock` moves on past the stamps of records."""
        self._store = store
        self._clock = clock
        self.written = ChangeEvent()
        """Tells of every write."""
        self._late: Counter[ShardId] = Counter()
        self._log = structlog.get_logger("gossipnode.store")

    async def write(
        self,
        shard_records: Sequence[tuple[ShardId, Record]],
        *,
        doubt_equal: bool = False,
        lineages: Sequence[bytes] = (),
        arrivals: Sequence[Arrival | None] = (),
        entries: Sequence[Entry] = (),
        outside: bool = False,
    ) -> list[WriteResult]:
        """Store records of our own or of a peer; see `Store.write`. Our clock moves on past their stamps.

        `arrivals` says how each of them came; the time is added here. A session `outside` is one with a
        member that is no replica of the shard.
        """
        results = await self._store.write(
            shard_records,
            stamp=self._clock.last,
            doubt_equal=doubt_equal,
            lineages=lineages,
            arrivals=self._timed(arrivals),
            entries=entries,
        )
        self._count_late(shard_records, results, entries, outside=outside)
        stored = [
            (shard, record)
            for (shard, record), result in zip(shard_records, results, strict=True)
            if result.outcome is WriteOutcome.STORED
        ]
        self._note_stamps(stored)
        self.written.notify()
        return results

    def _timed(self, arrivals: Sequence[Arrival | None]) -> list[bytes]:
        """Arrivals as they are kept. Most of those of one write are the same."""
        now = self._clock.now() // NANOSECONDS_PER_MILLISECOND
        kept: dict[Arrival | None, bytes] = {None: b""}
        for arrival in arrivals:
            if arrival is not None and arrival not in kept:
                kept[arrival] = encode_kept_arrival(arrival._replace(at_milliseconds=now))
        return [kept[arrival] for arrival in arrivals]

    def late(self, shard: ShardId) -> int:
        """How many records up to the seal of their shard came otherwise than in a session of its replicas."""
        return self._late[shard]

    def _count_late(
        self,
        shard_records: Sequence[tuple[ShardId, Record]],
        results: Sequence[WriteResult],
        entries: Sequence[Entry],
        *,
        outside: bool,
    ) -> None:
        for (shard, record), result, entry in zip(shard_records, results, entries, strict=False):
            if result.outcome is WriteOutcome.STORED and (outside or entry.way is not Way.SESSION):
                self._late[shard] += record.version.stamp <= self._store.retention.marks(shard).sealed

    def _note_stamps(self, stored: Sequence[tuple[ShardId, Record]]) -> None:
        ahead = [record for _, record in stored if not self._clock.saw(record.version.mod_revision)]
        if ahead:
            furthest = max(ahead, key=lambda record: record.version.mod_revision)
            self._log.warning(
                "records from the future",
                records=len(ahead),
                furthest=furthest.entity.text,
                ahead_seconds=round((furthest.version.mod_revision - self._clock.now()) / 1e9),
            )
