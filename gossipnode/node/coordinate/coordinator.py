"""What clients ask of any node: apply, delete and get, carried out by the replicas of the record.

Reading, merging and writing one record is one step for the clients of this node: a lock for each entity keeps
them from overwriting each other's merge. The clients of another node are met at the replicas: a replica that
has a newer version does not acknowledge ours, and the write starts over on top of the newer one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import trio

from gossipnode.concurrency.shares import Caller
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.property import Entity, Record, check_entity
from gossipnode.core.model.version import Version
from gossipnode.core.query.request_lineage import KnownRequest, Lineage
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.node.coordinate.large_writes import OWN_WORK
from gossipnode.node.coordinate.record_steps import APPLY_ATTEMPTS, RecordSteps
from gossipnode.node.refusals.request_checks import check_request_id, check_writable
from gossipnode.node.refusals.request_errors import NotStoredError
from gossipnode.wire.property.draft import Draft, read_draft

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The result of an apply: whether the record is new, the stored record, how many replicas have it."""

    created: bool
    record: Record
    acknowledged: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """The result of a delete: the tombstone, or None when no live record was there."""

    tombstone: Record | None
    acknowledged: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Got:
    """The result of a get: the live record, if there is one, and how many replicas answered."""

    record: Record | None
    acknowledged: int
    replicas: int


class OwnTries:
    """What a request has written in tries that were not acknowledged: the next try may find it."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._created: dict[Version, bool] = {}

    def wrote(self, record: Record, *, created: bool = False) -> None:
        """Remember a version; `created` is what the client would have been told of it."""
        self._created[record.version] = created

    def has(self, record: Record) -> bool:
        """Whether this version is one of ours."""
        return record.version in self._created

    def created(self, record: Record) -> bool:
        """Whether this version is one of ours that created the record."""
        return self._created.get(record.version, False)


class Coordinator:
    """Carries out requests on single records."""

    def __init__(self, steps: RecordSteps) -> None:
        """Each request is made of `steps`."""
        self._steps = steps

    async def apply(
        self,
        payload: bytes,
        *,
        replace: bool,
        ack: str = "",
        request_id: str = "",
        caller: Caller = OWN_WORK,
    ) -> ApplyResult:
        """Create a record, or merge its tags into the one that is there (`replace`: instead of them).

        A large write takes its turn among those of other callers.

        Raises:
            InvalidPropertyError: names the field.
            RefusedGroupError, UnknownGroupError, UnknownLevelError, NotAReplicaError, NotStoredError,
            TooFewReplicasError, StoreError.
        """
        incoming = read_draft(payload)
        entity = incoming.entity
        check_writable(entity.group)
        check_request_id(request_id)
        level = await self._steps.level(entity.group, ack)

        asked_before = request_id
        own = OwnTries()

        async def attempt(placement: Placement) -> ApplyResult | None:
            nonlocal asked_before
            (existing,), _, lineage, stamp = await self._steps.reads.read_to_write(
                placement, (entity,), level, to_replace=True
            )
            done = lineage.find(asked_before)
            if done is not None and existing is not None:
                return await self._again(placement, existing, done, lineage, level, caller)
            record, created = self._next_version(incoming, existing, stamp, own, replace=replace)
            took = await self._write(placement, record, level, request_id, caller, lineage, created=created)
            if took is None:
                # A replica that took this try remembers the request, but the version that overtook it lacks
                # what the request asked for; so the next try must not count as done.
                asked_before = ""
                return None
            return ApplyResult(created, record, took, placement.replicas)

        async with self._steps.locks.hold((entity,)):
            return await self._until_written(entity, attempt)

    def _next_version(
        self, incoming: Draft, existing: Record | None, stamp: int, own: OwnTries, *, replace: bool
    ) -> tuple[Record, bool]:
        """The version that a request writes over what is there, and whether that creates the record."""
        created = existing is None or existing.deleted or own.created(existing)
        merge = not replace and existing is not None and not created
        draft = incoming.over(existing.payload) if merge and existing is not None else incoming
        record = self._steps.stamped(draft, existing, stamp, created=created)
        own.wrote(record, created=created)
        return record, created

    async def delete(self, entity: Entity, *, ack: str = "", request_id: str = "") -> Deleted:
        """Delete a live record.

        Raises:
            InvalidEntityError; and as `apply`.
        """
        check_entity(entity)
        check_writable(entity.group)
        check_request_id(request_id)
        level = await self._steps.level(entity.group, ack)

        asked_before = request_id
        own = OwnTries()

        async def attempt(placement: Placement) -> Deleted | None:
            nonlocal asked_before
            (existing,), heard, lineage, stamp = await self._steps.reads.read_to_write(
                placement, (entity,), level
            )
            done = lineage.find(asked_before)
            if done is not None and existing is not None:
                again = await self._again(placement, existing, done, lineage, level, OWN_WORK)
                return None if again is None else Deleted(again.record, again.acknowledged, again.replicas)
            if existing is None:
                return Deleted(None, heard, placement.replicas)
            if existing.deleted:
                # A delete that failed may have left its tombstone at one replica, and the record at others.
                deleted = existing if own.has(existing) else None
                done_by = request_id if deleted else ""
                took = await self._write(placement, existing, level, done_by, OWN_WORK, lineage, copies=True)
                return None if took is None else Deleted(deleted, took, placement.replicas)
            tombstone = self._steps.tombstone(existing, stamp)
            own.wrote(tombstone)
            took = await self._write(placement, tombstone, level, request_id, OWN_WORK, lineage)
            if took is None:
                asked_before = ""
                return None
            return Deleted(tombstone, took, placement.replicas)

        async with self._steps.locks.hold((entity,)):
            return await self._until_written(entity, attempt)

    async def get(self, entity: Entity, *, ack: str = "") -> Got:
        """The live record.

        Raises:
            InvalidEntityError, UnknownGroupError, UnknownLevelError, NotAReplicaError, TooFewReplicasError,
            StoreError.
        """
        check_entity(entity)
        level = await self._steps.level(entity.group, ack)

        async def attempt(placement: Placement) -> Got:
            (record,), heard = await self._steps.reads.read(placement, (entity,), level)
            live = None if record is None or record.deleted else record
            return Got(live, heard, placement.replicas)

        return await self._steps.in_one_view(entity, attempt)

    async def _again(
        self,
        placement: Placement,
        newest: Record,
        done: KnownRequest,
        lineage: Lineage,
        level: AckLevel,
        caller: Caller,
    ) -> ApplyResult | None:
        """Answer a request that was carried out before. Only its acknowledgement may be missing.

        Other requests may have written since, on top of it, so it is the newest version that enough replicas
        must have.
        """
        took = await self._write(
            placement, newest, level, done.request_id, caller, lineage, created=done.created, copies=True
        )
        return None if took is None else ApplyResult(done.created, newest, took, placement.replicas)

    async def _until_written(
        self, entity: Entity, attempt: Callable[[Placement], Awaitable[Result | None]]
    ) -> Result:
        began = trio.current_time()
        for tried in range(APPLY_ATTEMPTS):
            if tried:
                await self._steps.reads.step_aside(tried, trio.current_time() - began)
                began = trio.current_time()
            result = await self._steps.in_one_view(entity, attempt)
            if result is not None:
                return result
        raise NotStoredError(f"{entity.text}: newer versions keep coming in")

    async def _write(
        self,
        placement: Placement,
        record: Record,
        level: AckLevel,
        request_id: str,
        caller: Caller,
        before: Lineage,
        *,
        created: bool = False,
        copies: bool = False,
    ) -> int | None:
        return await self._steps.write(
            placement,
            (record,),
            level,
            WriteAnswers((record,)),
            request_id=request_id,
            created=created,
            before=before,
            caller=caller,
            copies=copies,
        )
