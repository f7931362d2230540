"""The registry of this node: the records of the system group, and the view that follows from them.

Every record of that group that the store takes, on whatever path, is told here at once, so that the view is
never older than the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

import structlog

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.config.settings import GroupSettings, Settings
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.registry_records import (
    GROUP_NAME,
    MEMBER_NAME,
    SEED_REVISION,
    SETTLED_ENTITY,
    Entry,
    Tags,
    build_view,
    group_entity,
    group_of,
    group_tags,
    lost_creation,
    member_entity,
    member_of,
    member_tags,
    reborn,
    settled_tags,
)
from gossipnode.core.cluster.view import SYSTEM_SHARD, ClusterView, Group, Member
from gossipnode.core.model.property import Entity, Record
from gossipnode.store.interface import Store
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.property.property_edit import build_property, read_tags
from gossipnode.wire.wire_errors import WireError

REGISTRY_PAGE_RECORDS = 256
"""Records of the registry that are read in one step at the start."""

ROOT_BYTES = 16
"""The length of the digest of a registry."""


class Registry:
    """What this node knows of its cluster. `load` it before its first use."""

    def __init__(self, store: Store, groups: Mapping[str, Group], *, adopt_configured: bool = False) -> None:
        """Keep the view of the system group's records in `store`; `groups` are the configured ones.

        With `adopt_configured`, for a node that joined, the configured groups of other nodes are taken over.
        """
        self._store = store
        self._adopt_configured = adopt_configured
        self._configured = dict(groups)
        self._records: dict[Entity, Record] = {}
        self._entries: dict[Entity, Entry] = {}
        self.view = ClusterView({}, dict(groups))
        self.root = ""
        """A digest of the registry in hex. Two nodes with the same digest have the same view."""
        self.changed = ChangeEvent()
        """Tells of every new view."""
        self.reborn: set[str] = set()
        """Members that have another store than before, and must count as new ones."""
        self.unaware: set[str] = set()
        """Groups that were created again by a member that did not know of their deletion.

        Our view takes the deletion into account already; the stored record does not.
        """
        self._log = structlog.get_logger("gossipnode.registry")

    @property
    def configured(self) -> Mapping[str, Group]:
        """The groups of this node's own configuration."""
        return self._configured

    async def load(self) -> None:
        """Read the registry from the store."""
        after: Entity | None = None
        while page := await self._store.scan(SYSTEM_SHARD, after=after, limit=REGISTRY_PAGE_RECORDS):
            after = page[-1].entity
            self._take(page)
        self._rebuild()

    def took(self, records: Iterable[Record]) -> None:
        """Take note of records of the system group that the store has taken."""
        if self._take(records):
            self._rebuild()

    def record(self, entity: Entity) -> Record | None:
        """The record of an entity, tombstones included."""
        return self._records.get(entity)

    def records(self) -> list[Record]:
        """Every record, in entity order."""
        return [self._records[entity] for entity in sorted(self._records)]

    def has_forgotten(self, name: str, birth: int) -> bool:
        """Whether the member of this name was forgotten while it had the store of this birth."""
        entry = self._entries.get(member_entity(name))
        was = member_of(name, entry.tags) if entry is not None and entry.deleted else None
        return was is not None and was.birth == birth

    async def seed(self, seeds: Iterable[Record]) -> None:
        """Write records of the configuration, where there is no record of the same entity yet."""
        missing = [record for record in seeds if record.entity not in self._records]
        if missing:
            await self._store.write([(SYSTEM_SHARD, record) for record in missing])
            self.took(missing)

    def _take(self, records: Iterable[Record]) -> bool:
        changed = False
        for record in records:
            held = self._records.get(record.entity)
            if held is not None and held.version >= record.version:
                continue
            entry = Entry(record.entity, record.version, self._tags(record))
            if held is not None and held.deleted:
                entry = self._over_tombstone(self._entries[record.entity], entry)
            elif held is not None and not record.deleted:
                self._compare(self._entries[record.entity], entry)
            self._records[record.entity] = record
            self._entries[record.entity] = entry
            changed = True
        return changed

    def _compare(self, before: Entry, now: Entry) -> None:
        """Compare a definition with the one that it replaces.

        A member may have come back with another store, and a group may have been created twice.
        """
        name = now.entity.id
        if now.entity.name == MEMBER_NAME:
            member, newer = member_of(name, before.tags), member_of(name, now.tags)
            if member is not None and newer is not None and reborn(member, newer):
                self.reborn.add(name)
        elif now.entity.name == GROUP_NAME:
            group, winner = group_of(name, before.tags), group_of(name, now.tags)
            if group is not None and winner is not None and lost_creation(group, winner):
                self._log.warning(
                    "group was created twice at once: its records move to the definition that won",
                    group=name,
                    lost=group.incarnation,
                    won=winner.incarnation,
                )

    def _over_tombstone(self, tombstone: Entry, now: Entry) -> Entry:
        """The entry that takes the place of a tombstone.

        The creator of a group may not have known that the name was deleted before. Then the deletion is
        added, so that the records of the deleted group stay deleted.
        """
        name, deleted_at = now.entity.id, tombstone.stamp
        group = group_of(name, now.tags) if now.entity.name == GROUP_NAME and not now.deleted else None
        if group is None or group.follows >= deleted_at:
            return now
        self.unaware.add(name)
        return replace(now, tags={**now.tags, "follows": deleted_at})

    def _tags(self, record: Record) -> Tags:
        try:
            return read_tags(record.payload)
        except WireError as error:
            self._log.warning("registry record left out", record=record.entity.text, reason=str(error))
            return {}

    def _rebuild(self) -> None:
        in_order = [self._entries[entity] for entity in sorted(self._entries)]
        self.view = build_view(in_order, self._configured, adopt_configured=self._adopt_configured)
        digest = hashlib.blake2b(digest_size=ROOT_BYTES)
        for entry in in_order:
            digest.update(repr((entry.entity, entry.version)).encode())
        self.root = digest.hexdigest()
        self.changed.notify()


def registry_record(entity: Entity, tags: Tags, *, revision: int, created: int) -> Record:
    """A record of the registry, with its stamps in nanoseconds."""
    return decode_record(build_property(entity, tags, create_revision=created, mod_revision=revision), 0)


def configured_groups(settings: Settings) -> dict[str, Group]:
    """The groups of a configuration."""
    return {name: _configured_group(name, group) for name, group in settings.groups.items()}


def _configured_group(name: str, group: GroupSettings) -> Group:
    return Group(
        name,
        shards=group.shards,
        replicas=group.replicas,
        ack=AckLevel(group.ack),
        tombstone_retention_seconds=int(group.tombstone_retention_seconds),
        indexes=tuple(group.indexes),
    )


def configured_records(settings: Settings) -> list[Record]:
    """The members and groups of a configuration as records, equal on all nodes with equal configurations.

    The groups are for nodes that join, whose own configuration lacks them.
    """
    seeds: list[Record] = [
        _seed(member_entity(name), member_tags(Member(name, str(address))))
        for name, address in settings.members.items()
    ]
    for name, group in configured_groups(settings).items():
        # The level local is for the configuration of a single node; the registry is shared by all members.
        ack = AckLevel.ONE if group.ack is AckLevel.LOCAL else group.ack
        seeds.append(_seed(group_entity(name), group_tags(replace(group, ack=ack))))
    return [*seeds, _seed(SETTLED_ENTITY, settled_tags(dict.fromkeys(settings.members, 0)))]


def _seed(entity: Entity, tags: Tags) -> Record:
    return registry_record(entity, tags, revision=SEED_REVISION, created=SEED_REVISION)
