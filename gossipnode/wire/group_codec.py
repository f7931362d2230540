"""Definitions of groups, changes to them and to the members, as the messages of `gossipnode.v1` and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gossipnode.core.cluster.cluster_metadata import Group
from gossipnode.wire.envelope.tables import present
from gossipnode.wire.generated.bp.gossipnode import v1


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to be made. 0 and empty stand for the defaults of the node that is asked."""

    name: str
    shards: int = 0
    replicas: int = 0
    ack: str = ""
    tombstone_retention_seconds: int = 0
    indexes: tuple[str, ...] = ()
    force: bool = False
    """Even if there are fewer members than replicas."""


@dataclass(frozen=True, slots=True)
class GroupAlteration:
    """What is to become of a group. None leaves a value as it is; empty `indexes` take them all away."""

    name: str
    ack: str | None = None
    tombstone_retention_seconds: int | None = None
    indexes: tuple[str, ...] | None = None
    replicas: int | None = None
    force: bool = False
    """Even if there are fewer members than replicas."""


def encode_new_group(group: NewGroup) -> v1.CreateGroupRequest:
    """A request to make a group."""
    return v1.CreateGroupRequest(
        name=group.name,
        shards=group.shards,
        replicas=group.replicas,
        ack=group.ack,
        tombstone_retention_seconds=group.tombstone_retention_seconds,
        indexes=list(group.indexes),
        force=group.force,
    )


def decode_new_group(request: v1.CreateGroupRequest) -> NewGroup:
    """The group that a request wants to be made."""
    return NewGroup(
        name=request.name,
        shards=request.shards,
        replicas=request.replicas,
        ack=request.ack,
        tombstone_retention_seconds=request.tombstone_retention_seconds,
        indexes=tuple(request.indexes),
        force=request.force,
    )


def encode_alteration(alteration: GroupAlteration) -> v1.AlterGroupRequest:
    """A request to change a group."""
    request = v1.AlterGroupRequest(
        name=alteration.name,
        ack=alteration.ack,
        tombstone_retention_seconds=alteration.tombstone_retention_seconds,
        replicas=alteration.replicas,
        force=alteration.force,
    )
    if alteration.indexes is not None:
        request.indexes = v1.AlterGroupRequestTagList(tags=list(alteration.indexes))
    return request


def decode_alteration(request: v1.AlterGroupRequest) -> GroupAlteration:
    """The change that a request asks for.

    A list of indexes that is absent leaves them as they are, and an empty one takes them all away.
    """
    indexes: v1.AlterGroupRequestTagList | None = present(request, "indexes")
    return GroupAlteration(
        name=request.name,
        ack=request.ack,
        tombstone_retention_seconds=request.tombstone_retention_seconds,
        indexes=None if indexes is None else tuple(indexes.tags),
        replicas=request.replicas,
        force=request.force,
    )


def encode_group(group: Group) -> v1.Group:
    """The definition of a group."""
    return v1.Group(
        name=group.name,
        shards=group.shards,
        replicas=group.replicas,
        ack=group.ack.value,
        tombstone_retention_seconds=group.tombstone_retention_seconds,
        indexes=list(group.indexes),
        incarnation=group.incarnation,
    )


def encode_group_change(group: Group, *, acknowledged: int, members: int, epoch: int) -> v1.GroupResponse:
    """A group after a change, the epoch in which it stands so, and how many members are known to have it."""
    return v1.GroupResponse(
        group=encode_group(group), acknowledged=acknowledged, members=members, epoch=epoch
    )


def encode_groups(groups: Iterable[Group]) -> v1.ListGroupsResponse:
    """The definitions of several groups."""
    return v1.ListGroupsResponse(groups=[encode_group(group) for group in groups])
