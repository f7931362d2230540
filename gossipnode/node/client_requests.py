"""What clients ask of this node's own records: apply, delete, get, import.

For now every request is served by the node asked, alone. Reading, merging and writing one record is one step:
a lock for each entity keeps two clients of this node from overwriting each other's merge.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from gossipnode.core.limits import MAX_CLOCK_SKEW_NANOSECONDS
from gossipnode.core.property import Entity, Record, ShardId, check_entity
from gossipnode.node.entity_locks import EntityLocks, HeldLocks
from gossipnode.node.limits import APPLY_ATTEMPTS, CHECKED_BETWEEN_TURNS, SCAN_PAGE_RECORDS
from gossipnode.node.shards import Shards
from gossipnode.store.interface import WriteResult, Written
from gossipnode.wire.draft import Draft, draft_of, read_draft
from gossipnode.wire.errors import InvalidPropertyError, WireError
from gossipnode.wire.payload import decode_record

SYSTEM_GROUP_PREFIX = "_"


class RefusedGroupError(Exception):
    """A group that no client may write to."""


class NotStoredError(Exception):
    """The write lost to newer versions again and again, or the store refused it; the text says why."""


class NotAReplicaError(Exception):
    """This node holds no copy of the shard, and so cannot serve the request alone."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply came to: whether the record is new, the record as stored, and how many tags it has."""

    created: bool
    record: Record
    tag_count: int


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
        """Made by `ClientRequests.prepare_import`."""
        self._records = records
        self._write = write
        self._held = held

    async def commit(self) -> int:
        """Store the batch; gives how many records it had once they are durable.

        Raises:
            NotStoredError: newer versions of a record keep coming in.
            StoreError: nothing of it was kept.
        """
        await self._write()
        return self._records

    def release(self) -> None:
        """Let others write these records. Harmless when repeated."""
        self._held.release()


class ClientRequests:
    """Serves clients from this node's own store."""

    def __init__(self, shards: Shards) -> None:
        """Serve the records of `shards`."""
        self._shards = shards
        self._locks = EntityLocks()

    async def apply(self, payload: bytes, *, replace: bool) -> Applied:
        """Create a record, or merge its tags into the one that is there (`replace`: instead of them).

        Raises:
            InvalidPropertyError: names the field.
            RefusedGroupError, UnknownGroupError, NotAReplicaError, NotStoredError, StoreError.
        """
        incoming = read_draft(payload)
        entity = incoming.entity
        self._writable(entity.group)
        shard = self._own_shard(entity)
        held = await self._locks.acquire((entity,))
        try:
            for _ in range(APPLY_ATTEMPTS):
                (existing,) = await self._shards.store.read(shard, (entity,))
                created = existing is None or existing.deleted
                merge = not replace and existing is not None and not created
                draft = incoming.over(existing.payload) if merge and existing is not None else incoming
                record = self._stamp(draft, existing, created=created)
                (result,) = await self._shards.write([(shard, record)])
                if _stored(result):
                    return Applied(created, record, draft.tag_count)
        finally:
            held.release()
        raise NotStoredError(f"{entity.text}: newer versions keep coming in")

    async def delete(self, entity: Entity) -> Record | None:
        """Delete a live record; gives its tombstone, None when nothing live was there.

        Raises:
            InvalidEntityError, RefusedGroupError, UnknownGroupError, NotAReplicaError, NotStoredError,
            StoreError.
        """
        check_entity(entity)
        self._writable(entity.group)
        shard = self._own_shard(entity)
        async with self._locks.hold((entity,)):
            for _ in range(APPLY_ATTEMPTS):
                (existing,) = await self._shards.store.read(shard, (entity,))
                if existing is None or existing.deleted:
                    return None
                tombstone = self._stamp(draft_of(existing), existing, created=False, delete=True)
                (result,) = await self._shards.write([(shard, tombstone)])
                if _stored(result):
                    return tombstone
        raise NotStoredError(f"{entity.text}: newer versions keep coming in")

    async def delete_all(self, group: str, name: str) -> int:
        """Delete every live record of a group and name; gives how many there were.

        Raises: as `delete`.
        """
        check_entity(Entity(group, name, "any"))
        self._writable(group)
        deleted = 0
        for shard in self._shards.shards_of(group):
            if not self._shards.holds(shard):
                continue
            after: Entity | None = None
            while page := await self._shards.store.scan(
                shard, after=after, limit=SCAN_PAGE_RECORDS, name=name
            ):
                after = page[-1].entity
                for record in page:
                    if not record.deleted and await self.delete(record.entity) is not None:
                        deleted += 1
        return deleted

    async def get(self, entity: Entity) -> Record | None:
        """The live record, if there is one.

        Raises:
            InvalidEntityError, UnknownGroupError, NotAReplicaError.
        """
        check_entity(entity)
        shard = self._own_shard(entity)
        (record,) = await self._shards.store.read(shard, (entity,))
        return None if record is None or record.deleted else record

    async def prepare_import(
        self, group: str, batch: Sequence[ImportedRecord], *, keep_versions: bool
    ) -> PreparedImport | BadRecord:
        """Check and stamp a batch; nothing is written before its `commit`.

        With `keep_versions` stamps stay as given, and a newer stored version wins; else each record replaces
        the one that is there.

        Raises:
            RefusedGroupError, UnknownGroupError, NotAReplicaError, StoreError.
        """
        self._writable(group)
        self._shards.shard_count(group)
        if keep_versions:
            return await self._prepare_versions(group, batch)
        drafts = await _read_drafts(group, batch)
        if isinstance(drafts, BadRecord):
            return drafts
        held = await self._locks.acquire(draft.entity for draft in drafts)
        try:
            prepared = await self._prepare_replacements(drafts, held)
        except BaseException:
            held.release()
            raise
        if isinstance(prepared, BadRecord):
            held.release()
        return prepared

    async def _prepare_replacements(
        self, drafts: Sequence[Draft], held: HeldLocks
    ) -> PreparedImport | BadRecord:
        existing = await self._existing([draft.entity for draft in drafts])
        # Of a record that comes twice the last one counts, as if they had come in two batches.
        writes: dict[Entity, Record] = {}
        for position, draft in enumerate(drafts):
            await _take_turns(position)
            try:
                writes[draft.entity] = self._replacement(draft, existing.get(draft.entity))
            except WireError as error:
                return BadRecord(position, str(error))
        return PreparedImport(len(drafts), partial(self._write_replacements, writes), held)

    def _replacement(self, draft: Draft, old: Record | None) -> Record:
        return self._stamp(draft, old, created=old is None or old.deleted)

    async def _write_replacements(self, writes: Mapping[Entity, Record]) -> None:
        """Write records whose locks we hold; those that a peer's newer version overtook are stamped anew."""
        for _ in range(APPLY_ATTEMPTS):
            results = await self._shards.write(
                [(self._own_shard(entity), record) for entity, record in writes.items()]
            )
            stored = [_stored(result) for result in results]
            overtaken = [record for record, done in zip(writes.values(), stored, strict=True) if not done]
            if not overtaken:
                return
            existing = await self._existing([record.entity for record in overtaken])
            writes = {
                record.entity: self._replacement(draft_of(record), existing.get(record.entity))
                for record in overtaken
            }
        raise NotStoredError(f"{next(iter(writes)).text}: newer versions keep coming in")

    async def _prepare_versions(
        self, group: str, batch: Sequence[ImportedRecord]
    ) -> PreparedImport | BadRecord:
        latest = self._shards.wall_clock() + MAX_CLOCK_SKEW_NANOSECONDS
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
                    if stamp > latest:
                        raise InvalidPropertyError(f"{field}: lies in the future")
            except WireError as error:
                return BadRecord(position, str(error))
            writes.append((self._own_shard(record.entity), record))
        return PreparedImport(len(writes), partial(self._write_versions, writes), HeldLocks(self._locks))

    async def _write_versions(self, writes: Sequence[tuple[ShardId, Record]]) -> None:
        for result in await self._shards.write(writes):
            # A newer one that is held wins, as it would in a session.
            _stored(result)

    async def _existing(self, entities: Sequence[Entity]) -> dict[Entity, Record]:
        by_shard: dict[ShardId, list[Entity]] = {}
        for entity in entities:
            by_shard.setdefault(self._own_shard(entity), []).append(entity)
        found: dict[Entity, Record] = {}
        for shard, keys in by_shard.items():
            for record in await self._shards.store.read(shard, keys):
                if record is not None:
                    found[record.entity] = record
        return found

    def _stamp(self, draft: Draft, existing: Record | None, *, created: bool, delete: bool = False) -> Record:
        """A fresh version, above the one that it takes the place of."""
        above = 0
        if existing is not None:
            above = max(existing.version.mod_revision, existing.version.delete_time)
        stamp = self._shards.clock.next(self._shards.wall_clock(), above=above)
        if delete:
            return draft.stamped(create_revision=draft.create_revision, mod_revision=stamp, delete_time=stamp)
        born = stamp if created or existing is None else draft_of(existing).create_revision
        return draft.stamped(create_revision=born, mod_revision=stamp, updated_at_ns=stamp)

    def _writable(self, group: str) -> None:
        if group.startswith(SYSTEM_GROUP_PREFIX):
            raise RefusedGroupError(f'group {group[:80]!r}: names beginning with "_" are the system\'s own')

    def _own_shard(self, entity: Entity) -> ShardId:
        shard = self._shards.shard_of(entity)
        if not self._shards.holds(shard):
            replicas = ", ".join(self._shards.replicas(shard))
            raise NotAReplicaError(f"this node holds no copy of shard {shard}: ask one of {replicas}")
        return shard


async def _read_drafts(group: str, batch: Sequence[ImportedRecord]) -> list[Draft] | BadRecord:
    drafts: list[Draft] = []
    for position, item in enumerate(batch):
        await _take_turns(position)
        try:
            draft = read_draft(item.payload)
            _in_group(draft.entity, group)
            if item.delete_time:
                raise InvalidPropertyError("delete_time: a deleted record needs --keep-versions")
        except WireError as error:
            return BadRecord(position, str(error))
        drafts.append(draft)
    return drafts


async def _take_turns(position: int) -> None:
    """Let other tasks have their turn now and then in a long loop of ours."""
    if position % CHECKED_BETWEEN_TURNS == 0:
        await trio.lowlevel.checkpoint()


def _in_group(entity: Entity, group: str) -> None:
    if entity.group != group:
        raise InvalidPropertyError(f"metadata.group: {entity.group[:80]!r}, but the import is into {group!r}")


def _stored(result: WriteResult) -> bool:
    """Whether a write is now what the store holds; not when that is newer.

    Raises:
        NotStoredError: the store refuses the record.
    """
    if result.outcome is Written.REFUSED:
        raise NotStoredError(result.problem)
    return result.outcome is not Written.OLDER
