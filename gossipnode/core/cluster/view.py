"""What a node knows of its cluster: the members, the groups, and which members hold which shards.

The view is made from the records of the system group, which every member holds. It changes only when they
change, and two nodes with the same records have the same view.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from gossipnode.core.cluster.placement import AckLevel, Placement, placement_of
from gossipnode.core.model.property import ShardId

SYSTEM_GROUP = "_gossipnode"
"""The group of the registry's records. It has one shard, which every member holds."""

SYSTEM_GROUP_PREFIX = "_"
"""Names of groups that begin with it are reserved for the system."""

SYSTEM_SHARD = ShardId(SYSTEM_GROUP, 0)

VIEW_ID_BYTES = 8

NEVER_DELETED = -1
"""`Group.follows` of a group whose name was never deleted."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster."""

    name: str
    address: str
    joined: int = 0
    """When it joined, as a stamp; 0 for a member of the configuration. A member that joins again is empty."""
    birth: int = 0
    """When its store was made, as a stamp; 0 until it has run. With another store, its records are lost."""


@dataclass(frozen=True, slots=True)
class Group:
    """The definition of a group."""

    name: str
    shards: int = 1
    replicas: int = 3
    ack: AckLevel = AckLevel.QUORUM
    tombstone_retention_seconds: int = 7 * 24 * 3600
    indexes: tuple[str, ...] = ()
    incarnation: int = 0
    """When it was created, as a stamp; 0 for a group of the configuration."""
    follows: int = NEVER_DELETED
    """The last deletion of this name that its creator knew of, as a stamp.

    Incarnations up to this stamp are deleted for good.
    """


class Fate(Enum):
    """What becomes of records that a store keeps for one incarnation of a group."""

    CURRENT = "current"
    """They stay."""
    MERGE = "merge"
    """Two members created the group at once, and this incarnation lost. Its records belong to the winner."""
    DROP = "drop"
    """The incarnation was deleted, and its records go."""


@dataclass(frozen=True)
class ClusterView:
    """The members and groups of one state of the registry."""

    members: Mapping[str, Member]
    """By name, in ring order."""
    groups: Mapping[str, Group] = field(default_factory=dict[str, Group])
    """By name, in order; the system group is not among them."""
    settled: Mapping[str, int] = field(default_factory=dict[str, int])
    """The members of the time when every shard was last where it belongs, with their stamps of joining."""
    forgotten: frozenset[str] = frozenset()
    """Names of members that were forgotten, and have not joined again."""
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])
    """Groups that were deleted, with the stamps of their deletion."""
    placements: dict[ShardId, Placement] = field(default_factory=dict[ShardId, Placement], compare=False)
    """The placements that `placement` has computed so far."""

    @cached_property
    def joined(self) -> dict[str, int]:
        """Every member, with the stamp of its joining."""
        return {name: member.joined for name, member in self.members.items()}

    @cached_property
    def births(self) -> dict[str, int]:
        """Every member, with the stamp of when its store was made."""
        return {name: member.birth for name, member in self.members.items()}

    @cached_property
    def view_id(self) -> bytes:
        """A digest of everything that placements follow from: groups, members, and the settled members."""
        groups = [
            (each.name, each.incarnation, each.shards, each.replicas)
            for each in self.groups.values()
            # Groups of a configuration are left out. They may differ between nodes, and none of them can
            # appear while members change.
            if each.incarnation
        ]
        text = repr((sorted(self.joined.items()), sorted(self.settled.items()), groups))
        return hashlib.blake2b(text.encode(), digest_size=VIEW_ID_BYTES).digest()

    @property
    def is_settled(self) -> bool:
        """Whether every shard is where it belongs."""
        return self.joined == dict(self.settled)

    def shard_count(self, group: str) -> int | None:
        """The number of shards of a group; None when there is no such group."""
        if group == SYSTEM_GROUP:
            return 1
        known = self.groups.get(group)
        return None if known is None else known.shards

    def shard(self, group: str, number: int) -> ShardId | None:
        """The shard of this number in the present incarnation of a group, or None."""
        if group == SYSTEM_GROUP:
            return SYSTEM_SHARD if number == 0 else None
        known = self.groups.get(group)
        if known is None or not 0 <= number < known.shards:
            return None
        return ShardId(group, number, known.incarnation)

    def placement(self, shard: ShardId) -> Placement | None:
        """Which members hold a shard; None when the shard belongs to no present incarnation of a group."""
        placement = self.placements.get(shard)
        if placement is None and self.shard(shard.group, shard.shard) == shard:
            if shard == SYSTEM_SHARD:
                everyone = tuple(self.members)
                placement = Placement(shard, everyone, everyone, frozenset(), len(everyone))
            else:
                replicas = self.groups[shard.group].replicas
                placement = placement_of(
                    shard, replicas, settled=self.settled, members=self.joined, births=self.births
                )
            self.placements[shard] = placement
        return placement

    def shards(self) -> Iterable[ShardId]:
        """Every shard of every group in order, without the one of the system group."""
        for group in self.groups.values():
            for number in range(group.shards):
                yield ShardId(group.name, number, group.incarnation)

    @cached_property
    def joining(self) -> frozenset[str]:
        """The members that still have to copy the records of some shard before the view can be settled."""
        placements = (self.placement(shard) for shard in self.shards())
        return frozenset(name for placement in placements if placement for name in placement.joining)

    def gives_up(self, shard: ShardId, name: str) -> bool:
        """Whether a member must drop the records that it has of a shard.

        While members change no member drops records of a present shard, because a joining replica may still
        have to copy them.
        """
        if shard == SYSTEM_SHARD:
            return False
        if self.fate(shard) is not Fate.CURRENT:
            return True
        placement = self.placement(shard)
        return self.is_settled and placement is not None and name not in placement.holders

    def fate(self, shard: ShardId) -> Fate:
        """What becomes of the records that a store keeps for a shard.

        Records of a group that the view does not know stay, unless it knows that the group was deleted.
        """
        group = self.groups.get(shard.group)
        if group is None:
            return Fate.DROP if shard.incarnation <= self.deleted.get(shard.group, -1) else Fate.CURRENT
        if shard.incarnation == group.incarnation:
            return Fate.CURRENT
        return Fate.DROP if shard.incarnation <= group.follows else Fate.MERGE
