"""Many records in one go: the batches of an import, and the delete of everything under a name.

The records of a batch go to their shards together, some dozens in each request to a replica. A batch is
checked as a whole before any of it is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.concurrency.shares import Caller
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.model.limits import PEER_STAMP_MAX_NANOSECONDS, PROPERTY_MAX_BYTES
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.tag_value import INT64_MAX
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.core.query.replica_messages import READ_MAX_RECORDS
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.node.coordinate.entity_locks import HeldLocks
from gossipnode.node.coordinate.large_writes import OWN_WORK, request_chunks
from gossipnode.node.coordinate.record_steps import APPLY_ATTEMPTS, RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.request_checks import check_writable, not_a_replica
from gossipnode.node.refusals.request_errors import NotStoredError, RecordLostError
from gossipnode.wire.property.draft import Draft, read_draft
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.wire_errors import InvalidPropertyError, WireError

CHECKED_BETWEEN_TURNS = 64
"""Properties that are checked or stamped before other tasks get their turn: a few milliseconds."""

BATCH_SHARDS_AT_ONCE = 16
"""Shards to which a batch is written at the same time. A group may have a thousand."""

STAMPS_MAX_BYTES = 64
"""More than fresh stamps can add to a property: two revisions and a timestamp."""

Renew = Callable[[Entity, Record | None, int], Record | None]
"""(entity, newest stored version, stamp) -> what to write over it; None when nothing is to be done."""


TryShard = Callable[[Sequence[Entity], Placement], Awaitable[list[Entity]]]
"""(entities of a shard, its placement) -> those that were overtaken."""


@dataclass(frozen=True, slots=True)
class ImportedRecord:
    """A record of an import: a property, and when it was deleted (0: alive)."""

    payload: bytes
    delete_time: int


@dataclass(frozen=True, slots=True)
class BadRecord:
    """The first record of a batch that cannot be imported."""

    position: int
    problem: str


class PreparedImport:
    """A batch of an import, ready to be written. `release` it, written or not."""

    def __init__(self, records: int, write: Callable[[], Awaitable[None]], held: HeldLocks) -> None:
        """Made by `BulkWrites.prepare_import`."""
        self._records = records
        self._write = write
        self._held = held

    async def commit(self) -> int:
        """Store the batch; gives how many records it had once they are acknowledged.

        Raises:
            NotStoredError: newer versions of a record keep coming in.
            TooFewReplicasError: some of it may have been written, and will spread.
            StoreError: nothing of it was kept.
        """
        await self._write()
        return self._records

    def release(self) -> None:
        """Let other requests write these records. Harmless when repeated."""
        self._held.release()


class BulkWrites:
    """Writes batches through the replicas of their shards."""

    def __init__(self, local: LocalState, steps: RecordSteps) -> None:
        """Write by `steps`, which single requests use, too, with their locks."""
        self._steps = steps
        self._shards = local.shards
        self._writer = local.writer

    async def level(self, group: str, ack: str) -> AckLevel:
        """See `RecordSteps.level`."""
        return await self._steps.level(group, ack)

    async def prepare_import(
        self,
        group: str,
        batch: Sequence[ImportedRecord],
        *,
        keep_versions: bool,
        ack: str = "",
        caller: Caller = OWN_WORK,
    ) -> PreparedImport | BadRecord:
        """Check a batch; nothing is written before its `commit`.

        With `keep_versions` stamps stay as given, a newer stored version wins, and only this node's own copy
        is written to; else each record replaces the one that is there. Stamps from the future are kept, too,
        as those of a peer are: what a cluster exported while its clock was ahead can be brought back. They do
        not move this node's clock.

        Raises:
            RefusedGroupError, UnknownGroupError, UnknownLevelError, NotAReplicaError.
        """
        check_writable(group)
        self._shards.shard_count(group)
        level = await self._steps.level(group, ack)
        if keep_versions:
            return await self._prepare_versions(group, batch)
        drafts = await _read_drafts(group, batch)
        if isinstance(drafts, BadRecord):
            return drafts
        # If a record comes twice, the last one counts, as if they had come in two batches.
        latest = {draft.entity: draft for draft in drafts}
        held = await self._steps.locks.acquire(latest)
        return PreparedImport(len(drafts), partial(self._replace, latest, level, caller), held)

    async def _replace(self, drafts: Mapping[Entity, Draft], level: AckLevel, caller: Caller) -> None:
        def renew(entity: Entity, existing: Record | None, stamp: int) -> Record:
            created = existing is None or existing.deleted
            return self._steps.stamped(drafts[entity], existing, stamp, created=created)

        await self.renew_all(drafts, level, renew, caller, to_replace=True)

    async def delete_all(self, entities: Sequence[Entity], level: AckLevel) -> None:
        """Delete records that were live a moment ago.

        Raises: as `PreparedImport.commit`.
        """

        def renew(_entity: Entity, existing: Record | None, stamp: int) -> Record | None:
            if existing is None or existing.deleted:
                # A delete that failed may have left its tombstone at one replica, and the record at others.
                return existing
            return self._steps.tombstone(existing, stamp)

        async with self._steps.locks.hold(entities):
            await self.renew_all(dict.fromkeys(entities), level, renew)

    async def renew_all(
        self,
        entities: Mapping[Entity, object],
        level: AckLevel,
        renew: Renew,
        caller: Caller = OWN_WORK,
        *,
        to_replace: bool = False,
    ) -> None:
        """Read records and write new versions, again for those that were overtaken. Their locks are held.

        `to_replace` is for `RecordReads.read_to_write`.

        Raises: as `PreparedImport.commit`.
        """
        left = list(entities)
        began = trio.current_time()
        for tried in range(APPLY_ATTEMPTS):
            if tried:
                await self._steps.reads.step_aside(tried, trio.current_time() - began)
                began = trio.current_time()
            by_shard: dict[ShardId, list[Entity]] = {}
            for entity in left:
                by_shard.setdefault(self._shards.shard_of(entity), []).append(entity)
            try_shard = partial(
                self._renew_shard, level=level, renew=renew, caller=caller, to_replace=to_replace
            )
            left = await self._overtaken(list(by_shard.values()), try_shard)
            if not left:
                return
        raise NotStoredError(f"{left[0].text}: newer versions keep coming in")

    async def _overtaken(self, shards: Sequence[Sequence[Entity]], try_shard: TryShard) -> list[Entity]:
        """Try to write the records of each shard; gives those that were overtaken by newer versions."""
        overtaken: list[Entity] = []
        waiting = iter(shards)

        async def try_some() -> None:
            for entities in waiting:
                overtaken.extend(await self._steps.in_one_view(entities[0], partial(try_shard, entities)))

        # Each shard costs two rounds to its replicas. Those of several shards share messages and commits.
        with one_error():
            async with trio.open_nursery() as nursery:
                for _ in range(min(len(shards), BATCH_SHARDS_AT_ONCE)):
                    nursery.start_soon(try_some)
        return overtaken

    async def _renew_shard(
        self,
        entities: Sequence[Entity],
        placement: Placement,
        *,
        level: AckLevel,
        renew: Renew,
        caller: Caller,
        to_replace: bool,
    ) -> list[Entity]:
        """One try for the records of a shard; gives those that were overtaken by newer versions."""
        records: list[Record] = []
        at = 0
        while at < len(entities):
            part = entities[at : at + READ_MAX_RECORDS]
            try:
                found, _, _, stamp = await self._steps.reads.read_to_write(placement, part, level)
            except RecordLostError:
                # One of them is damaged in all replicas. It must not cost the others what they are.
                part = part[:1]
                found, _, _, stamp = await self._steps.reads.read_to_write(
                    placement, part, level, to_replace=to_replace
                )
            for entity, existing in zip(part, found, strict=False):
                await _take_turns(len(records))
                renewed = renew(entity, existing, stamp)
                if renewed is not None:
                    records.append(renewed)
            at += len(found)
        overtaken: list[Entity] = []
        with one_error():
            async with trio.open_nursery() as nursery:
                for chunk in request_chunks(records):
                    nursery.start_soon(self._write_chunk, placement, level, chunk, overtaken, caller)
        return overtaken

    async def _write_chunk(
        self,
        placement: Placement,
        level: AckLevel,
        records: Sequence[Record],
        overtaken: list[Entity],
        caller: Caller = OWN_WORK,
    ) -> None:
        """Write some records of a shard; `overtaken` gets those of which a newer version is stored."""
        answers = WriteAnswers(records, names_records=True)
        took = await self._steps.write(
            placement, records, level, answers, through=Through.IMPORT, caller=caller
        )
        if took is None:
            # Its other records may not be on enough replicas, so the whole chunk is written again.
            overtaken += [record.entity for record in records]

    async def _prepare_versions(
        self, group: str, batch: Sequence[ImportedRecord]
    ) -> PreparedImport | BadRecord:
        writes: list[tuple[ShardId, Record]] = []
        for position, item in enumerate(batch):
            await _take_turns(position)
            try:
                record = decode_record(item.payload, item.delete_time)
                _in_group(record.entity, group)
                for field, stamp in (
                    ("mod_revision", record.version.mod_revision),
                    ("delete_time", item.delete_time),
                ):
                    if stamp > PEER_STAMP_MAX_NANOSECONDS:
                        raise InvalidPropertyError(f"{field}: {stamp} leaves no room for a later version")
            except WireError as error:
                return BadRecord(position, str(error))
            writes.append((self._own_shard(record.entity), record))
        held = HeldLocks(self._steps.locks)
        return PreparedImport(len(writes), partial(self._write_here, writes), held)

    async def _write_here(self, writes: Sequence[tuple[ShardId, Record]]) -> None:
        arrivals = [Arrival(Through.IMPORT, self._shards.own_name)] * len(writes)
        for result in await self._writer.write(writes, arrivals=arrivals):
            # A newer version that is held here wins, as it would in a session.
            _check_stored(result)

    def _own_shard(self, entity: Entity) -> ShardId:
        placement = self._shards.placement(self._shards.shard_of(entity))
        if self._shards.own_name not in placement.holders:
            raise not_a_replica(placement)
        return placement.shard


async def _read_drafts(group: str, batch: Sequence[ImportedRecord]) -> list[Draft] | BadRecord:
    drafts: list[Draft] = []
    for position, item in enumerate(batch):
        await _take_turns(position)
        try:
            draft = read_draft(item.payload)
            _in_group(draft.entity, group)
            if item.delete_time:
                raise InvalidPropertyError("delete_time: a deleted record needs --keep-versions")
            if len(item.payload) > PROPERTY_MAX_BYTES - STAMPS_MAX_BYTES:
                # A record that is too large with its stamps must be found before any of the batch is written.
                draft.stamped(create_revision=INT64_MAX, mod_revision=INT64_MAX, updated_at_ns=INT64_MAX)
        except WireError as error:
            return BadRecord(position, str(error))
        drafts.append(draft)
    return drafts


async def _take_turns(position: int) -> None:
    """Let other tasks have their turn, now and then in a long loop."""
    if position % CHECKED_BETWEEN_TURNS == 0:
        await trio.lowlevel.checkpoint()


def _in_group(entity: Entity, group: str) -> None:
    if entity.group != group:
        raise InvalidPropertyError(f"metadata.group: {entity.group[:80]!r}, but the import is into {group!r}")


def _check_stored(result: WriteResult) -> None:
    if result.problem or result.outcome is WriteOutcome.REFUSED:
        # One that is older than what is held has no problem. One that no replica may take any more has one.
        raise NotStoredError(result.problem)
