"""This node as a replica: reads and writes of its own copy, for coordinators here and elsewhere.

A request that was made in another view of the cluster than ours is refused, see `core.cluster.fence`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from gossipnode.core.cluster.fence import view_conflict
from gossipnode.core.cluster.targets import Standing
from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.clock_skew import clock_problem
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteResult
from gossipnode.core.query.replica_messages import (
    SAME,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    Same,
    Wanted,
    WriteRecords,
)
from gossipnode.core.query.request_lineage import KeptLineage
from gossipnode.core.retention.marks import COPY, FROM_CLIENT, Entry
from gossipnode.node.local.local_state import LocalState
from gossipnode.rpc import Status
from gossipnode.wire.replica.lineage_codec import encode_kept

READ_REPLY_MAX_BYTES = 1 << 20
"""Records in one answer of a replica. One record is always sent, whatever its size."""


class Replica:
    """Serves the records that this node holds."""

    def __init__(self, local: LocalState) -> None:
        """Serve what `local` holds."""
        self._cluster = local.cluster
        self._shards = local.shards
        self._store = local.store
        self._writer = local.writer
        self._clock = local.clock
        self._floors = local.floors
        self._requests = local.requests
        self._retention = local.retention

    @property
    def cleared(self) -> bool:
        """See `ClusterState.cleared`."""
        return self._shards.cleared

    async def wait_cleared(self) -> None:
        """See `ClusterState.wait_cleared`. A store that counts waits for nothing."""
        if not self._shards.cleared:
            await self._cluster.wait_cleared()

    def refusal(self, shard: ShardId, fence: bytes, *, local: bool = False) -> Refusal | None:
        """Why a request is refused; None when it is not.

        Its asker may see the cluster in another way than we do. Or our store does not count yet, and then it
        serves only what is asked of it alone (`local`).
        """
        if not local and not self._shards.cleared:
            reason = f"{self._shards.own_name} {Standing.UNCLEARED.value}"
            return Refusal(Status.UNAVAILABLE.value, reason)
        conflict = view_conflict(self._shards.view, self._shards.own, shard, fence)
        if conflict is None:
            reason = "" if local else self._retention.why_not_served(shard)
            return Refusal(Status.UNAVAILABLE.value, reason) if reason else None
        status = Status.NOT_FOUND if conflict.unknown_shard else Status.FAILED_PRECONDITION
        return Refusal(status.value, conflict.reason, other_view=True)

    async def read(self, request: ReadRecords, *, local: bool = False) -> RecordsRead | Refusal:
        """Read records: as many of those asked for, from the first on, as an answer may hold.

        A proposed stamp is taken before the records are read: a write with a lower one that is stored
        meanwhile is seen.

        Raises:
            StoreError: the store cannot be read, or the stamp's ceiling cannot be kept.
        """
        if not local:
            await self.wait_cleared()
            await self._retention.wait_met(request.shard)
        refusal = self.refusal(request.shard, request.fence, local=local)
        if refusal is not None:
            return refusal
        if request.clock:
            now = self._clock.now()
            problem = clock_problem(self._shards.own_name, now, request.clock)
            if problem:
                return Refusal(Status.FAILED_PRECONDITION.value, problem, clock=now)
        if not request.wanted:
            return RecordsRead((), floor=self._floors.highest_of_all())
        entities = [wanted.entity for wanted in request.wanted]
        floor = 0
        if request.proposed:
            floor = await self._floors.propose(entities, request.proposed)
        elif request.clock:
            floor = self._floors.highest(entities)
        found = await self._store.read(request.shard, entities)
        if request.clock:
            floor = max(floor, self._clock.newest_near(found))
        held = tuple(_fitting(map(_held, request.wanted, found)))
        lineage = None
        if request.clock and len(entities) == 1:
            version = None if found[0] is None else found[0].version
            lineage = await self._requests.lineage(request.shard, entities[0], version)
        return RecordsRead(held, lineage, floor)

    async def write(
        self, requests: Sequence[WriteRecords], *, local: bool = False
    ) -> list[RecordsWritten | Refusal]:
        """Store records, those of all requests in one commit.

        Raises:
            StoreError: nothing was kept.
        """
        if not local:
            await self.wait_cleared()
            for shard in {request.shard for request in requests}:
                await self._retention.wait_met(shard)
        answers: list[RecordsWritten | Refusal | None] = [
            self.refusal(request.shard, request.fence, local=local) for request in requests
        ]
        accepted = [request for request, answer in zip(requests, answers, strict=True) if answer is None]
        kept = [await self._requests.to_keep(request) for request in accepted]
        results = await self._store_all(accepted, kept)
        for position, request in enumerate(requests):
            if answers[position] is None:
                part = results.popleft()
                # The view may have changed during the write, and a new replica may already have copied from
                # us without these records; so do not acknowledge.
                refusal = self.refusal(request.shard, request.fence, local=local)
                answers[position] = refusal or RecordsWritten(tuple(part))
        return [answer for answer in answers if answer is not None]

    async def _store_all(
        self, requests: Sequence[WriteRecords], kept: Sequence[KeptLineage | None]
    ) -> deque[list[WriteResult]]:
        """Store the records of all requests in one commit, with what is kept beside them."""
        records: list[tuple[ShardId, Record]] = []
        lineages: list[bytes] = []
        arrivals: list[Arrival | None] = []
        entries: list[Entry] = []
        for request, lineage in zip(requests, kept, strict=True):
            records += [(request.shard, record) for record in request.records]
            lineages += [encode_kept(lineage) if lineage else b""] * len(request.records)
            arrivals += [request.arrival] * len(request.records)
            entries += [COPY if request.copies else FROM_CLIENT] * len(request.records)
        written = await self._writer.write(records, lineages=lineages, arrivals=arrivals, entries=entries)
        results = iter(written)
        parts = deque(list(islice(results, len(request.records))) for request in requests)
        for request, part, lineage in zip(requests, parts, kept, strict=True):
            # Remembered even if the write is refused in the end: its next try has to know its own work.
            if lineage is not None and part[0].outcome.taken:
                self._requests.took(request.shard, request.records[0].entity, lineage)
        return parts


def _held(wanted: Wanted, record: Record | None) -> Record | Same | None:
    if record is not None and wanted.known == record.version:
        return SAME
    return record


def _fitting(held: Iterable[Record | Same | None]) -> Iterator[Record | Same | None]:
    size = 0
    for position, record in enumerate(held):
        size += len(record.payload) if isinstance(record, Record) else 0
        if size > READ_REPLY_MAX_BYTES and position:
            return
        yield record
