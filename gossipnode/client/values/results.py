"""What the client library hands out: plain, typed values. Nothing here knows of gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gossipnode.client.values.property_codec import decode_property
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tags import Tag, read_tags
from gossipnode.core.model.tag_value import Timestamp
from gossipnode.wire.generated.bp.gossipnode import v1 as messages


@dataclass(frozen=True, slots=True)
class Property:
    """One version of a record, as a node holds it."""

    group: str
    name: str
    id: str
    tags: dict[str, Tag]
    """In their order, which is data."""
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
    """How many replicas are known to have it by now, of how many."""
    replicas: int


@dataclass(frozen=True, slots=True)
class Group:
    """The definition of a group."""

    name: str
    shards: int
    replicas: int
    ack: str
    """What acknowledges a read or a write that does not say: local, one, quorum or all."""
    tombstone_retention: timedelta
    indexes: tuple[str, ...]
    incarnation: int
    """The stamp of its creation in nanoseconds; 0 for a group of the nodes' configuration."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How many members are known to have a change of the cluster itself by now, of how many."""

    acknowledged: int
    members: int


@dataclass(frozen=True, slots=True)
class GroupChange(Spread):
    """A group that was created, altered or deleted: as it is now, or as it was."""

    group: Group


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster, as the node that was asked sees it."""

    name: str
    address: str
    state: str
    """up, down or unknown."""


def read_property(record: messages.Record) -> Property:
    """The record of an answer.

    Raises:
        FailedError: what the node sent is no property.
    """
    return shown(decode_property(record))


def shown(record: StoredProperty) -> Property:
    """A record as applications see it."""
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
    """What became of a change to a group."""
    return GroupChange(response.acknowledged, response.members, read_group(response.group))


def read_members(response: messages.StatusResponse) -> list[Member]:
    """The members that a node names."""
    return [Member(member.name, member.address, member.state) for member in response.members]


_LONGEST_SECONDS = timedelta.max.days * 24 * 3600
