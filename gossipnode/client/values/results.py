"""What the client library hands out: plain, typed values. Nothing here knows of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gossipnode.client.values.property_codec import decode_property
from gossipnode.client.values.tags import Tag, read_tags
from gossipnode.core.model.tag_value import Timestamp
from gossipnode.wire.generated.bp.gossipnode import v1 as messages

_LONGEST_SECONDS = timedelta.max.days * 24 * 3600
"""The longest time that a timedelta holds; the wire format allows more."""


@dataclass(frozen=True, slots=True)
class Property:
    """One version of a record, as a node holds it."""

    group: str
    name: str
    id: str
    tags: dict[str, Tag]
    """In the order of the record, which is kept."""
    create_revision: int
    """Nanoseconds since 1970 by the clock of the cluster; so is `mod_revision`."""
    mod_revision: int
    updated_at: Timestamp | None

    @property
    def key(self) -> str:
        """GROUP/NAME/ID."""
        return f"{self.group}/{self.name}/{self.id}"


@dataclass(frozen=True, slots=True)
class Applied:
    """A write that was acknowledged."""

    created: bool
    """Whether there was no live record before."""
    property: Property
    """As it is stored now: merged with the tags that were there, unless they were replaced."""
    acknowledged: int
    """How many of its replicas are known to have it on disk."""
    replicas: int


@dataclass(frozen=True, slots=True)
class Group:
    """The definition of a group."""

    name: str
    shards: int
    replicas: int
    ack: str
    """The level of a read or a write that names none itself: local, one, quorum or all."""
    tombstone_retention: timedelta
    indexes: tuple[str, ...]
    incarnation: int
    """The epoch that created it. The same name made later is another incarnation."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a change of the cluster itself has spread: how many of its members are known to have it."""

    acknowledged: int
    members: int


@dataclass(frozen=True, slots=True)
class GroupChange(Spread):
    """How far the change of a group has spread, and the group after the change, or before its deletion."""

    group: Group
    epoch: int
    """The epoch in which it stands so."""


@dataclass(frozen=True, slots=True)
class MemberChange(Spread):
    """How far it has spread that a member goes."""

    epoch: int
    """The epoch in which it stands so."""
    leaving: bool
    """Whether it is still a source of what it holds, and goes once that is handed over."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster, as the node that was asked sees it."""

    name: str
    address: str
    state: str
    """up, down or unknown."""
    role: str
    """member, leaving or foreign."""
    birth: str
    """64 random bits in hex, drawn when its store was made."""
    version: str
    """Of its software; empty as long as it is not known."""


def read_property(message: messages.Record) -> Property:
    """The record of an answer, as applications get it.

    Raises:
        FailedError: what the node sent is not a property.
    """
    record = decode_property(message)
    return Property(
        *record.entity,
        read_tags(record.tags),
        record.create_revision,
        record.mod_revision,
        record.updated_at,
    )


def read_group(group: messages.Group) -> Group:
    """The group of an answer."""
    return Group(
        name=group.name,
        shards=group.shards,
        replicas=group.replicas,
        ack=group.ack,
        tombstone_retention=timedelta(seconds=min(group.tombstone_retention_seconds, _LONGEST_SECONDS)),
        indexes=tuple(group.indexes),
        incarnation=group.incarnation,
    )


def read_group_change(response: messages.GroupResponse) -> GroupChange:
    """The change of a group, from a node's answer."""
    return GroupChange(response.acknowledged, response.members, read_group(response.group), response.epoch)


def read_members(response: messages.StatusResponse) -> list[Member]:
    """The members that a node names in its status."""
    return [
        Member(member.name, member.address, member.state, member.role, member.birth, member.version)
        for member in response.members
    ]
