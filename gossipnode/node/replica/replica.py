"""This node as a replica: reads and writes of its own copy, for coordinators here and elsewhere.

A request made in another view of the cluster than ours is refused. That is what keeps a coordinator that has
not heard of a change of members from reaching a quorum of the wrong replicas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gossipnode.core.cluster.view import SYSTEM_SHARD
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import (
    SAME,
    Done,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    Same,
    Wanted,
    WriteRecords,
)
from gossipnode.node.local.shards import Shards
from gossipnode.node.replica.request_memory import DoneRequest, RequestMemory
from gossipnode.rpc import Status

READ_REPLY_MAX_BYTES = 1 << 20
"""Records in one answer of a replica. One record is always sent, whatever its size."""


class Replica:
    """Serves the records that this node holds."""

    def __init__(self, shards: Shards) -> None:
        """Serve what `shards` says that we hold."""
        self._shards = shards
        self._requests = RequestMemory()

    def refusal(self, shard: ShardId, fence: bytes) -> Refusal | None:
        """Why a request of some view is refused; None when it is ours."""
        placement = self._shards.view.placement(shard)
        own = self._shards.own_name
        if placement is None:
            return Refusal(Status.NOT_FOUND.value, f"{own} knows no shard {shard} of that incarnation", True)
        if shard == SYSTEM_SHARD:
            return None
        if own not in placement.holders:
            return Refusal(Status.FAILED_PRECONDITION.value, f"{own} holds no copy of {shard}", True)
        if fence != placement.fence:
            return Refusal(Status.FAILED_PRECONDITION.value, f"{own} sees other members for {shard}", True)
        for name in self._shards.registry.reborn.intersection(placement.holders):
            # Until that is written down, it would count as one that has the records.
            return Refusal(Status.FAILED_PRECONDITION.value, f"{own} sees that {name} has lost them", True)
        return None

    async def read(self, request: ReadRecords) -> RecordsRead | Refusal:
        """Read records: as many of those asked for, from the first on, as an answer may hold.

        Raises:
            StoreError: the store cannot be read.
        """
        refusal = self.refusal(request.shard, request.fence)
        if refusal is not None:
            return refusal
        entities = [wanted.entity for wanted in request.wanted]
        found = await self._shards.store.read(request.shard, entities)
        held = tuple(_fitting(map(_held, request.wanted, found)))
        return RecordsRead(held, await self._done(request))

    async def write(self, requests: Sequence[WriteRecords]) -> list[RecordsWritten | Refusal]:
        """Store records, those of all requests in one commit.

        Raises:
            StoreError: nothing was kept.
        """
        answers: list[RecordsWritten | Refusal | None] = [
            self.refusal(request.shard, request.fence) for request in requests
        ]
        accepted = [request for request, answer in zip(requests, answers, strict=True) if answer is None]
        results = await self._shards.write(
            [(request.shard, record) for request in accepted for record in request.records]
        )
        at = 0
        for position, request in enumerate(requests):
            if answers[position] is None:
                part = results[at : at + len(request.records)]
                at += len(part)
                # Who has filled himself from us meanwhile, in a newer view, need not have got these.
                refusal = self.refusal(request.shard, request.fence)
                if refusal is None:
                    self._remember(request, part)
                answers[position] = refusal or RecordsWritten(tuple(part))
        return [answer for answer in answers if answer is not None]

    def _remember(self, request: WriteRecords, results: Sequence[WriteResult]) -> None:
        """A client's request writes one record: it is done if that is what we hold now."""
        if request.request_id and results and results[0].outcome in (WriteOutcome.STORED, WriteOutcome.EQUAL):
            record = request.records[0]
            self._requests.remember(
                request.request_id, DoneRequest(request.shard, record.entity, request.created)
            )

    async def _done(self, request: ReadRecords) -> Done | None:
        done = self._requests.recall(request.request_id)
        if done is None or done.shard != request.shard:
            return None
        if all(wanted.entity != done.entity for wanted in request.wanted):
            return None  # a client that gives one id to two requests
        (record,) = await self._shards.store.read(done.shard, (done.entity,))
        return None if record is None else Done(record, done.created)


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
