"""What clients ask of any node: apply, delete and get, carried out by the replicas of the record.

Reading, merging and writing one record is one step for the clients of this node: a lock for each entity keeps
them from overwriting each other's merge. Those of other nodes are met by the replicas: one that has a newer
version does not acknowledge ours, and the write starts over on top of it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import trio

from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.cluster.view import SYSTEM_GROUP
from gossipnode.core.model.property import Entity, Record, check_entity
from gossipnode.core.model.write_result import WriteOutcome
from gossipnode.core.query.newest import NewestRecords
from gossipnode.core.query.replica_messages import (
    Done,
    ReadRecords,
    RecordsRead,
    RecordsWritten,
    Refusal,
    ReplicaReply,
    Wanted,
    WriteRecords,
)
from gossipnode.node.coordinate.entity_locks import EntityLocks
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.coordinate.replicas import Replicas
from gossipnode.node.coordinate.request_checks import (
    ack_level,
    check_request_id,
    check_writable,
    not_a_replica,
)
from gossipnode.node.local.shards import Shards
from gossipnode.node.request_errors import (
    NotStoredError,
    OtherViewError,
    TooFewReplicasError,
    UnknownGroupError,
)
from gossipnode.wire.property.draft import Draft, draft_of, read_draft

APPLY_ATTEMPTS = 8
APPLY_PAUSE_MIN_SECONDS = 0.002
APPLY_PAUSE_MAX_SECONDS = 0.25
"""A client's write starts over when a newer version came in between, at most this often. Before each try it
waits up to so long, twice as long each time: nodes that write the same records must not meet again.
"""

VIEW_ATTEMPTS = 5
"""How often a request starts over because a replica sees other members than we do."""

Result = TypeVar("Result")
Sync = Callable[[str], Awaitable[None]]
"""Compares registries with a peer."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply came to: whether the record is new, the record as stored, and who has it."""

    created: bool
    record: Record
    acknowledged: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete came to: the tombstone, or None when nothing live was there."""

    tombstone: Record | None
    acknowledged: int
    replicas: int


@dataclass(frozen=True, slots=True)
class Got:
    """The live record, if there is one, and how many replicas were heard."""

    record: Record | None
    acknowledged: int
    replicas: int


class Coordinator:
    """Carries out requests on single records."""

    def __init__(
        self,
        shards: Shards,
        replicas: Replicas,
        repair: ReadRepair,
        sync: Sync,
        rng: random.Random | None = None,
    ) -> None:
        """`sync` compares registries with a peer that sees other members than we do.

        `rng` spreads the tries of writes that meet others; without it they are spread by the system's.
        """
        self.shards = shards
        self.replicas = replicas
        self.locks = EntityLocks()
        self._repair = repair
        self._sync = sync
        self._rng = rng or random.SystemRandom()

    def level(self, group: str, asked: str) -> AckLevel:
        """The acknowledgement level of a request: what it asks for, or else what its group says.

        Raises:
            UnknownGroupError: there is no such group.
            UnknownLevelError: names the levels that there are.
        """
        if asked:
            return ack_level(asked)
        if group == SYSTEM_GROUP:
            return AckLevel.ONE
        known = self.shards.view.groups.get(group)
        if known is None:
            raise UnknownGroupError(group, self.shards.view.groups)
        return known.ack

    # Requests of clients

    async def apply(self, payload: bytes, *, replace: bool, ack: str = "", request_id: str = "") -> Applied:
        """Create a record, or merge its tags into the one that is there (`replace`: instead of them).

        Raises:
            InvalidPropertyError: names the field.
            RefusedGroupError, UnknownGroupError, UnknownLevelError, NotAReplicaError, NotStoredError,
            TooFewReplicasError, StoreError.
        """
        incoming = read_draft(payload)
        entity = incoming.entity
        check_writable(entity.group)
        check_request_id(request_id)
        level = self.level(entity.group, ack)

        asked_before = request_id

        async def attempt(placement: Placement) -> Applied | None:
            nonlocal asked_before
            (existing,), done, _ = await self.read(placement, (entity,), level, asked_before)
            if done is not None:
                return await self._again(placement, done, existing, level, request_id)
            created = existing is None or existing.deleted
            merge = not replace and existing is not None and not created
            draft = incoming.over(existing.payload) if merge and existing is not None else incoming
            record = self.stamped(draft, existing, created=created)
            took = await self.write(placement, record, level, request_id, created=created)
            if took is None:
                # Who took this try remembers the request, but what overtook it lacks what was asked for.
                asked_before = ""
                return None
            return Applied(created, record, took, placement.replicas)

        async with self.locks.hold((entity,)):
            return await self._until_written(entity, attempt)

    async def delete(self, entity: Entity, *, ack: str = "", request_id: str = "") -> Deleted:
        """Delete a live record.

        Raises:
            InvalidEntityError; and as `apply`.
        """
        check_entity(entity)
        check_writable(entity.group)
        check_request_id(request_id)
        level = self.level(entity.group, ack)

        asked_before = request_id

        async def attempt(placement: Placement) -> Deleted | None:
            nonlocal asked_before
            (existing,), done, heard = await self.read(placement, (entity,), level, asked_before)
            if done is not None:
                again = await self._again(placement, done, existing, level, request_id)
                return None if again is None else Deleted(again.record, again.acknowledged, again.replicas)
            if existing is None or existing.deleted:
                return Deleted(None, heard, placement.replicas)
            tombstone = self.tombstone(existing)
            took = await self.write(placement, tombstone, level, request_id, created=False)
            if took is None:
                asked_before = ""
                return None
            return Deleted(tombstone, took, placement.replicas)

        async with self.locks.hold((entity,)):
            return await self._until_written(entity, attempt)

    async def get(self, entity: Entity, *, ack: str = "") -> Got:
        """The live record.

        Raises:
            InvalidEntityError, UnknownGroupError, UnknownLevelError, NotAReplicaError, TooFewReplicasError,
            StoreError.
        """
        check_entity(entity)
        level = self.level(entity.group, ack)

        async def attempt(placement: Placement) -> Got:
            (record,), _, heard = await self.read(placement, (entity,), level, repair=True)
            live = None if record is None or record.deleted else record
            return Got(live, heard, placement.replicas)

        return await self.in_one_view(entity, attempt)

    async def _again(
        self, placement: Placement, done: Done, newest: Record | None, level: AckLevel, request_id: str
    ) -> Applied | None:
        """A request that was carried out before: only its acknowledgement may be missing.

        Others may have written since. It is the newest version that enough replicas must have.
        """
        record = done.record if newest is None else max(done.record, newest, key=lambda each: each.version)
        took = await self.write(placement, record, level, request_id, created=done.created)
        return None if took is None else Applied(done.created, record, took, placement.replicas)

    async def _until_written(
        self, entity: Entity, attempt: Callable[[Placement], Awaitable[Result | None]]
    ) -> Result:
        for tried in range(APPLY_ATTEMPTS):
            if tried:
                await self.step_aside(tried)
            result = await self.in_one_view(entity, attempt)
            if result is not None:
                return result
        raise NotStoredError(f"{entity.text}: newer versions keep coming in")

    # Steps that others share

    async def in_one_view(self, entity: Entity, attempt: Callable[[Placement], Awaitable[Result]]) -> Result:
        """Try with the placement of an entity's shard; anew when replicas see other members than we do."""
        for _ in range(VIEW_ATTEMPTS - 1):
            try:
                return await attempt(self.shards.placement(self.shards.shard_of(entity)))
            except OtherViewError as error:
                await self.compare_views(error.peer)
        return await attempt(self.shards.placement(self.shards.shard_of(entity)))

    async def step_aside(self, tried: int) -> None:
        """Wait a moment before a write that was overtaken starts over: those who meet must not go on to."""
        longest = min(APPLY_PAUSE_MIN_SECONDS * 2**tried, APPLY_PAUSE_MAX_SECONDS)
        await trio.sleep(self._rng.uniform(0, longest))

    async def compare_views(self, peer: str) -> None:
        """Compare registries with a peer that sees other members than we do."""
        await self._sync(peer)

    async def read(
        self,
        placement: Placement,
        entities: Sequence[Entity],
        level: AckLevel,
        request_id: str = "",
        *,
        repair: bool = False,
        everyone: bool = False,
    ) -> tuple[list[Record | None], Done | None, int]:
        """The newest versions that enough replicas have; of the first entities, if not all fit an answer.

        Also what the request came to before, if it did, and how many replicas were heard. With `repair`,
        stale replicas are written to behind the caller's back. With `everyone`, whoever is there is heard.
        """
        shard = placement.shard
        own: list[Record | None] = [None] * len(entities)
        own_reply: RecordsRead | None = None
        if self.shards.own_name in placement.holders:
            request = ReadRecords(
                shard, placement.fence, tuple(Wanted(entity, None) for entity in entities), request_id
            )
            reply = await self.replicas.own.read(request)
            if isinstance(reply, RecordsRead):
                own_reply = reply
                own[: len(reply.held)] = [held if isinstance(held, Record) else None for held in reply.held]
        newest = NewestRecords(shard, entities, own)
        if level is AckLevel.LOCAL:
            if own_reply is None:
                raise not_a_replica(placement)
            newest.take(self.shards.own_name, own_reply)
            return newest.records(), own_reply.done, 1
        wanted = tuple(
            Wanted(entity, None if held is None else held.version)
            for entity, held in zip(entities, own, strict=True)
        )
        tally = await self.replicas.ask(
            placement,
            level,
            ReadRecords(shard, placement.fence, wanted, request_id),
            newest.take,
            verb="answered",
            own_reply=own_reply,
            ended=(lambda: self._repair.offer(newest.stale())) if repair else None,
            everyone=everyone,
        )
        return newest.records(), newest.done, tally.acknowledged

    async def write(
        self, placement: Placement, record: Record, level: AckLevel, request_id: str, *, created: bool
    ) -> int | None:
        """Write a record; gives how many replicas have it, None when some of them have a newer one."""
        request = WriteRecords(placement.shard, placement.fence, (record,), request_id, created)
        if level is AckLevel.LOCAL:
            return await self._write_here(placement, request)
        answers = _WriteAnswers()
        try:
            tally = await self.replicas.ask(placement, level, request, answers.take, verb="took it")
        except TooFewReplicasError:
            if answers.superseded:
                return None
            raise
        return tally.acknowledged

    async def _write_here(self, placement: Placement, request: WriteRecords) -> int | None:
        if self.shards.own_name not in placement.holders:
            raise not_a_replica(placement)
        (reply,) = await self.replicas.own.write([request])
        answers = _WriteAnswers()
        reason = answers.take(self.shards.own_name, reply)
        if reason and not answers.superseded:
            raise NotStoredError(reason)
        return None if reason else 1

    def stamped(self, draft: Draft, existing: Record | None, *, created: bool) -> Record:
        """A fresh version, above the one that it takes the place of."""
        stamp = self._stamp(existing)
        born = stamp if created or existing is None else draft_of(existing).create_revision
        return draft.stamped(create_revision=born, mod_revision=stamp, updated_at_ns=stamp)

    def tombstone(self, existing: Record) -> Record:
        """The tombstone of a record."""
        stamp = self._stamp(existing)
        draft = draft_of(existing)
        return draft.stamped(create_revision=draft.create_revision, mod_revision=stamp, delete_time=stamp)

    def _stamp(self, existing: Record | None) -> int:
        above = 0
        if existing is not None:
            above = max(existing.version.mod_revision, existing.version.delete_time)
        return self.shards.clock.next(self.shards.wall_clock(), above=above)


class _WriteAnswers:
    """Judges what replicas say to the write of one record."""

    def __init__(self) -> None:
        self.superseded = False

    def take(self, _replica: str, reply: ReplicaReply) -> str:
        """Why an answer is no acknowledgement, or ""."""
        if isinstance(reply, Refusal):
            return reply.message
        if not isinstance(reply, RecordsWritten) or len(reply.results) != 1:
            return "its answer does not fit"
        (result,) = reply.results
        if result.outcome is WriteOutcome.OLDER:
            self.superseded = True
            return "has a newer version"
        return result.problem if result.outcome is WriteOutcome.REFUSED else ""
