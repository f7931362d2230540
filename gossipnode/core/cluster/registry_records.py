"""The registry: members and groups as records of the system group, and the view that is made from them.

    _gossipnode/member/NAME        a member; a tombstone says that it was forgotten
    _gossipnode/group/NAME         a group's definition; a tombstone says that the group was deleted
    _gossipnode/placement/settled  the members of the time when every shard was last where it belongs

These records are repaired like all others, so nodes that have exchanged them have the same view. A record
that makes no sense is left out of the view. It is not an error, because any node may have sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import (
    NEVER_DELETED,
    SYSTEM_GROUP,
    SYSTEM_GROUP_PREFIX,
    ClusterView,
    Group,
    Member,
)
from gossipnode.core.model.errors import CoreError
from gossipnode.core.model.limits import (
    GROUP_INDEXES_MAX,
    GROUP_MAX_BYTES,
    REPLICAS_MAX,
    RETENTION_MAX_SECONDS,
    SHARDS_MAX,
    STAMP_MAX_NANOSECONDS,
    TAG_KEY_MAX_BYTES,
)
from gossipnode.core.model.property import Entity
from gossipnode.core.model.tag_value import IntArray, StrArray, TagValue
from gossipnode.core.model.version import Version

MEMBER_NAME = "member"
GROUP_NAME = "group"
SETTLED_ENTITY = Entity(SYSTEM_GROUP, "placement", "settled")

SEED_REVISION = 1
"""The mod_revision of records that come from the configuration.

It is the same on every node and older than every other, so whatever was written later wins over the
configuration.
"""

Tags = Mapping[str, TagValue]


class InvalidGroupError(CoreError):
    """A definition that no group may have. The message names the field, and what it may hold."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the registry, decoded. The tags of a tombstone are ignored."""

    entity: Entity
    version: Version
    tags: Tags

    @property
    def deleted(self) -> bool:
        """Whether it is a tombstone."""
        return self.version.delete_time != 0

    @property
    def stamp(self) -> int:
        """When it was last written or deleted, in nanoseconds."""
        return self.version.stamp


def member_entity(name: str) -> Entity:
    """The entity under which a member is registered."""
    return Entity(SYSTEM_GROUP, MEMBER_NAME, name)


def group_entity(name: str) -> Entity:
    """The entity under which a group is defined."""
    return Entity(SYSTEM_GROUP, GROUP_NAME, name)


def member_tags(member: Member) -> dict[str, TagValue]:
    """The tags of a member's record."""
    return {"address": member.address, "joined": member.joined, "birth": member.birth}


def group_tags(group: Group) -> dict[str, TagValue]:
    """The tags of a group's record."""
    return {
        "shards": group.shards,
        "replicas": group.replicas,
        "ack": group.ack.value,
        "tombstone_retention_seconds": group.tombstone_retention_seconds,
        "indexes": StrArray(group.indexes),
        "incarnation": group.incarnation,
        "follows": group.follows,
    }


def settled_tags(joined: Mapping[str, int]) -> dict[str, TagValue]:
    """The tags of the record of the settled members."""
    names = sorted(joined)
    return {"members": StrArray(names), "joined": IntArray(joined[name] for name in names)}


def check_group(group: Group) -> None:
    """Refuse a definition that no group may have.

    Raises:
        InvalidGroupError: names the field that is wrong.
    """
    _check_stored_group(group)
    if not group.name.isprintable():
        raise InvalidGroupError(f"name: expected printable characters, got {group.name[:80]!r}")
    if group.tombstone_retention_seconds > RETENTION_MAX_SECONDS:
        raise InvalidGroupError(
            f"tombstone_retention: expected {RETENTION_MAX_SECONDS} s at most, "
            f"got {group.tombstone_retention_seconds} s"
        )


def _check_stored_group(group: Group) -> None:
    """Refuse a record that defines no group. What an earlier version allowed is a group all the same."""
    try:
        size = len(group.name.encode())
    except UnicodeEncodeError:
        raise InvalidGroupError(f"name: {group.name[:80]!r} is no valid Unicode text") from None
    if not group.name or size > GROUP_MAX_BYTES or "/" in group.name:
        raise InvalidGroupError(
            f'name: expected 1 to {GROUP_MAX_BYTES} bytes without "/", got {group.name[:80]!r}'
        )
    for field, value, most in (
        ("shards", group.shards, SHARDS_MAX),
        ("replicas", group.replicas, REPLICAS_MAX),
    ):
        if not 1 <= value <= most:
            raise InvalidGroupError(f"{field}: expected 1 to {most}, got {value}")
    if group.tombstone_retention_seconds < 1:
        raise InvalidGroupError("tombstone_retention: expected a time above 0")
    if group.ack is AckLevel.LOCAL:
        raise InvalidGroupError("ack: expected one, quorum or all")
    if len(group.indexes) > GROUP_INDEXES_MAX:
        raise InvalidGroupError(f"indexes: expected {GROUP_INDEXES_MAX} at most, got {len(group.indexes)}")
    for tag in group.indexes:
        if not tag or len(tag.encode("utf-8", "surrogatepass")) > TAG_KEY_MAX_BYTES:
            raise InvalidGroupError(f"indexes: {tag[:80]!r} is no tag key")


def reborn(before: Member, now: Member) -> bool:
    """Whether a member came back with another store, but did not say that it joined again.

    A node that lost its disk registers with the stamp of its new store. If it could reach no other member
    when it started, it did not learn that it had been a member before, and registered with the same stamp of
    joining as at its first start. It must count as a new, empty member all the same.
    """
    return bool(before.birth and now.birth) and before.birth != now.birth and before.joined == now.joined


def lost_creation(before: Group, now: Group) -> bool:
    """Whether two members created the same group at once, and `now` has won over `before`.

    The two definitions are different incarnations, and the creator of `now` did not know of any deletion that
    would have ended `before`. So the records written under `before` belong to `now`.
    """
    return before.incarnation != now.incarnation and before.incarnation > now.follows


def build_view(
    entries: Iterable[Entry], configured: Mapping[str, Group], *, adopt_configured: bool = False
) -> ClusterView:
    """The view that the entries of a registry make, on a node with these groups in its configuration.

    The numbers of shards and replicas of a configured group are those of the configuration; everything else
    is as the registry says. With `adopt_configured` the groups of other nodes' configurations are in the
    view, too. A node that joined needs that, because it has no configuration of groups. A node that has one
    keeps to it.
    """
    members: dict[str, Member] = {}
    forgotten: set[str] = set()
    groups: dict[str, Group] = dict(configured)
    deleted: dict[str, int] = {}
    settled: dict[str, int] | None = None
    for entry in entries:
        kind, name = entry.entity.name, entry.entity.id
        if kind == MEMBER_NAME:
            if entry.deleted:
                forgotten.add(name)
            elif (member := member_of(name, entry.tags)) is not None:
                members[name] = member
        elif kind == GROUP_NAME:
            if entry.deleted:
                deleted[name] = entry.stamp
            elif (group := group_of(name, entry.tags)) is not None and (
                group.incarnation or name in configured or adopt_configured
            ):
                groups[name] = _with_configured(entry, group, configured.get(name))
        elif entry.entity == SETTLED_ENTITY and not entry.deleted:
            settled = _settled(entry.tags)
    in_order = {name: members[name] for name in sorted(members)}
    if settled is None:
        settled = {name: member.joined for name, member in in_order.items()}
    return ClusterView(
        members=in_order,
        groups={name: groups[name] for name in sorted(groups)},
        settled=settled,
        forgotten=frozenset(forgotten),
        deleted=deleted,
    )


def _with_configured(entry: Entry, group: Group, configured: Group | None) -> Group:
    if configured is None or group.incarnation != configured.incarnation:
        return group
    if entry.version.mod_revision == SEED_REVISION:
        # This record was made from some node's configuration, for nodes without one. Ours counts here.
        return configured
    return replace(group, shards=configured.shards, replicas=configured.replicas)


def member_of(name: str, tags: Tags) -> Member | None:
    """The member that these tags describe; None when they make no sense."""
    address, joined, birth = tags.get("address"), tags.get("joined", 0), tags.get("birth", 0)
    if not name or not isinstance(address, str) or not isinstance(joined, int) or not isinstance(birth, int):
        return None
    return Member(name, address, joined, birth)


def group_of(name: str, tags: Tags) -> Group | None:
    """The group that these tags describe; None when they make no sense."""
    numbers = [
        tags.get(key)
        for key in ("shards", "replicas", "tombstone_retention_seconds", "incarnation", "follows")
    ]
    shards, replicas, retention, incarnation, follows = (
        number if isinstance(number, int) else None for number in numbers
    )
    indexes = tags.get("indexes", StrArray(()))
    if shards is None or replicas is None or retention is None or not isinstance(indexes, StrArray):
        return None
    if name.startswith(SYSTEM_GROUP_PREFIX) or not 0 <= (incarnation or 0) <= STAMP_MAX_NANOSECONDS:
        return None
    try:
        group = Group(
            name,
            shards,
            replicas,
            AckLevel(tags.get("ack")),
            retention,
            tuple(indexes),
            incarnation or 0,
            NEVER_DELETED if follows is None else follows,
        )
        _check_stored_group(group)
    except (ValueError, CoreError):
        return None
    return group


def _settled(tags: Tags) -> dict[str, int] | None:
    names, joined = tags.get("members"), tags.get("joined")
    if not isinstance(names, StrArray) or not isinstance(joined, IntArray) or len(names) != len(joined):
        return None
    return dict(zip(names, joined, strict=True))
