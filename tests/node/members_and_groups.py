"""Records of the registry, as nodes write them."""

from __future__ import annotations

from gossipnode.core.cluster.registry_records import (
    SETTLED_ENTITY,
    group_entity,
    group_tags,
    member_entity,
    member_tags,
    settled_tags,
)
from gossipnode.core.cluster.view import Group, Member
from gossipnode.core.model.property import Entity, Record
from gossipnode.node.local.registry import registry_record
from tests.records import record


def member(name: str, revision: int = 2, *, joined: int = 0, birth: int = 0, address: str = "x:1") -> Record:
    tags = member_tags(Member(name, address, joined, birth))
    return registry_record(member_entity(name), tags, revision=revision, created=1)


def group(name: str, revision: int = 2, *, incarnation: int = 0, follows: int = -1) -> Record:
    tags = group_tags(Group(name, incarnation=incarnation, follows=follows))
    return registry_record(group_entity(name), tags, revision=revision, created=1)


def tombstone(of: Entity, at: int) -> Record:
    return record(of, revision=at, delete_time=at)


def settled(revision: int = 2, **joined: int) -> Record:
    """The record that says that these members are settled, with the stamps of their joining."""
    return registry_record(SETTLED_ENTITY, settled_tags(joined), revision=revision, created=1)
