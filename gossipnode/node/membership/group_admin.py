"""Group definitions: made, changed and deleted as epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from gossipnode.core.cluster import changes
from gossipnode.core.cluster.cluster_metadata import Group
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.membership.epochs import Epochs
from gossipnode.node.refusals.request_checks import ack_level, check_writable
from gossipnode.node.refusals.request_errors import UnknownGroupError


@dataclass(frozen=True, slots=True)
class GroupUpdate:
    """A group after a change, in which epoch, and how many of the members have that epoch."""

    group: Group
    epoch: int
    acknowledged: int
    members: int


class GroupAdmin:
    """Creates, alters, deletes and lists groups."""

    def __init__(self, cluster: ClusterState, epochs: Epochs) -> None:
        """Look at the groups of `cluster`; changes are decided by `epochs`."""
        self._cluster = cluster
        self._epochs = epochs

    def groups(self, name: str = "") -> list[Group]:
        """All groups by name, or one.

        Raises:
            UnknownGroupError: there is no group of that name.
        """
        return [self._group(name)] if name else list(self._cluster.view.groups.values())

    def _group(self, name: str) -> Group:
        group = self._cluster.view.groups.get(name)
        if group is None:
            raise UnknownGroupError(name, self._cluster.view.groups)
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
        force: bool = False,
    ) -> GroupUpdate:
        """Make a group; 0 and empty stand for the defaults.

        Raises:
            InvalidGroupError, UnknownLevelError: names the field.
            RefusedGroupError: the name is the system's own.
            GroupExistsError: there is one already.
            ChangeRefusedError: it wants more replicas than there are members.
            NotFormedError, TooFewMembersError, MetadataTooLargeError, StoreError.
        """
        check_writable(name)
        default = Group(name)
        group = Group(
            name,
            shards=shards or default.shards,
            replicas=replicas or default.replicas,
            ack=ack_level(ack) if ack else default.ack,
            tombstone_retention_seconds=tombstone_retention_seconds or default.tombstone_retention_seconds,
            indexes=_distinct(indexes),
        )
        return await self._change(name, partial(changes.create_group, group=group, force=force))

    async def alter(
        self,
        name: str,
        *,
        replicas: int | None = None,
        ack: str | None = None,
        tombstone_retention_seconds: int | None = None,
        indexes: Sequence[str] | None = None,
        force: bool = False,
    ) -> GroupUpdate:
        """Change what can change of a group; None leaves it as it is.

        Raises:
            UnknownGroupError; InvalidGroupError, UnknownLevelError: names the field.
            ChangeRefusedError: it wants more replicas than there are members.
            NotFormedError, TooFewMembersError, MetadataTooLargeError, StoreError.
        """
        check_writable(name)
        self._group(name)
        level = None if ack is None else ack_level(ack)

        def altered(group: Group) -> Group:
            return replace(
                group,
                replicas=group.replicas if replicas is None else replicas,
                ack=group.ack if level is None else level,
                tombstone_retention_seconds=group.tombstone_retention_seconds
                if tombstone_retention_seconds is None
                else tombstone_retention_seconds,
                indexes=group.indexes if indexes is None else _distinct(indexes),
            )

        return await self._change(name, partial(changes.alter_group, name=name, alter=altered, force=force))

    async def delete(self, name: str) -> GroupUpdate:
        """Delete a group with all its records, on every member, for good.

        Raises:
            UnknownGroupError: there is no such group.
            NotFormedError, TooFewMembersError, StoreError.
        """
        check_writable(name)
        group = self._group(name)
        value, acknowledged = await self._epochs.change(partial(changes.delete_group, name=name))
        return GroupUpdate(group, value.epoch, acknowledged, len(value.members))

    async def _change(self, name: str, change: changes.Change) -> GroupUpdate:
        value, acknowledged = await self._epochs.change(change)
        return GroupUpdate(value.groups[name], value.epoch, acknowledged, len(value.members))


def _distinct(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))
