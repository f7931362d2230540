"""Group definitions: made, changed and deleted as records of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
import trio

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.registry_records import check_group, group_entity, group_tags
from gossipnode.core.cluster.view import NEVER_DELETED, Group
from gossipnode.core.model.property import Record
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.refusals.request_checks import ack_level, check_writable
from gossipnode.node.refusals.request_errors import ConfiguredGroupError, GroupExistsError, UnknownGroupError
from gossipnode.store.interface import StoreError


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """A group after a change, how many members know of the change, and how many members there are."""

    group: Group
    acknowledged: int
    members: int


class GroupAdmin:
    """Creates, alters, deletes and lists groups."""

    def __init__(self, local: LocalState, sync: RegistrySync) -> None:
        """Work on the registry of `local`."""
        self._registry = local.registry
        self._clock = local.clock
        self._sync = sync
        self._changing = trio.Lock()
        """Held while a definition is read, changed and written, so that no change of this node is lost."""
        self._log = structlog.get_logger("gossipnode.registry")

    def groups(self, name: str = "") -> list[Group]:
        """All groups by name, or one.

        Raises:
            UnknownGroupError: there is no group of that name.
        """
        return [self._group(name)] if name else list(self._registry.view.groups.values())

    def _group(self, name: str) -> Group:
        group = self._registry.view.groups.get(name)
        if group is None:
            raise UnknownGroupError(name, self._registry.view.groups)
        return group

    async def create(
        self,
        name: str,
        *,
        shards: int = 0,
        replicas: int = 0,
        ack: str = "",
        tombstone_retention_seconds: int = 0,
        indexes: Sequence[str] = (),
    ) -> GroupUpdate:
        """Make a group; 0 and empty stand for the defaults.

        Raises:
            InvalidGroupError, UnknownLevelError: names the field.
            RefusedGroupError: the name is the system's own.
            GroupExistsError: there is one already.
        """
        check_writable(name)
        async with self._changing:
            view = self._registry.view
            if name in view.groups:
                raise GroupExistsError(f"group {name[:80]!r} exists already: `group alter` changes it")
            default = Group(name)
            group = Group(
                name,
                shards=shards or default.shards,
                replicas=replicas or default.replicas,
                ack=ack_level(ack) if ack else default.ack,
                tombstone_retention_seconds=tombstone_retention_seconds
                or default.tombstone_retention_seconds,
                indexes=_distinct(indexes),
                incarnation=self._clock.next(above=max(0, view.deleted.get(name, 0))),
                follows=view.deleted.get(name, NEVER_DELETED),
            )
            record = await self._put(group)
        return self._changed(group, await self._sync.spread(record))

    async def alter(
        self,
        name: str,
        *,
        ack: str | None = None,
        tombstone_retention_seconds: int | None = None,
        indexes: Sequence[str] | None = None,
    ) -> GroupUpdate:
        """Change what can change of a group; None leaves it as it is.

        Raises:
            UnknownGroupError; InvalidGroupError, UnknownLevelError: names the field.
        """
        check_writable(name)
        async with self._changing:
            group = self._group(name)
            if ack is not None:
                group = replace(group, ack=ack_level(ack))
            if tombstone_retention_seconds is not None:
                group = replace(group, tombstone_retention_seconds=tombstone_retention_seconds)
            if indexes is not None:
                group = replace(group, indexes=_distinct(indexes))
            if group.ack is AckLevel.LOCAL:
                # The level local is for the configuration of a single node; the registry is shared by all
                # members.
                group = replace(group, ack=AckLevel.ONE)
            record = await self._put(group)
        return self._changed(group, await self._sync.spread(record))

    async def delete(self, name: str) -> GroupUpdate:
        """Delete a group with all its records, on every member.

        Raises:
            UnknownGroupError: there is no such group.
            ConfiguredGroupError: it is in this node's configuration.
        """
        check_writable(name)
        group = self._group(name)
        if name in self._registry.configured:
            raise ConfiguredGroupError(f"group {name[:80]!r} is in the node's configuration: remove it there")
        async with self._changing:
            record = await self._sync.remove(group_entity(name))
        if record is None:
            raise UnknownGroupError(name, self._registry.view.groups)
        return self._changed(group, await self._sync.spread(record))

    async def follow(self) -> None:
        """Correct groups whose creator did not know of a deletion, now and later, until cancelled."""
        registry = self._registry
        while True:
            changed = registry.changed.pending
            for name in sorted(registry.unaware):
                await self._tell_of_deletion(name)
            await changed.wait()

    async def _tell_of_deletion(self, name: str) -> None:
        async with self._changing:
            group = self._registry.view.groups.get(name)
            if group is None:
                self._registry.unaware.discard(name)
                return
            try:
                record = await self._put(group)
            except StoreError as error:
                self._log.warning("group not told of its deletion yet", group=name, reason=str(error))
                return
            self._registry.unaware.discard(name)
        await self._sync.spread(record)

    async def _put(self, group: Group) -> Record:
        check_group(group)
        return await self._sync.put(group_entity(group.name), group_tags(group))

    def _changed(self, group: Group, acknowledged: int) -> GroupUpdate:
        return GroupUpdate(group, acknowledged, len(self._registry.view.members))


def _distinct(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))
