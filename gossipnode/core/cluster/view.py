"""What a node knows of its cluster: the members, the groups, and which shards lie where.

The view is made from the records of the system group, which every member holds, and changes with them alone.
Two nodes with the same records have the same view.
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
"""One shard, on every member."""

SYSTEM_GROUP_PREFIX = "_"
"""Names beginning with it are the system's own."""

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
    """The stamp of its joining; 0 for one of the configuration. Another stamp is another, empty member."""
    birth: int = 0
    """The stamp of its store's making; 0 until it has run. A node with another store has lost its records."""


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
    """The stamp of its creation; 0 for a group of the configuration."""
    follows: int = NEVER_DELETED
    """The stamp of the deletion that its creator knew of: incarnations up to it are gone for good."""


class Fate(Enum):
    """What becomes of records that are kept under some incarnation of a group."""

    CURRENT = "current"
    MERGE = "merge"
    """Two members created the group at once and this one lost: its records belong to the winner."""
    DROP = "drop"


@dataclass(frozen=True)
class ClusterView:
    """Members and groups as of one state of the registry."""

    members: Mapping[str, Member]
    """By name, in ring order."""
    groups: Mapping[str, Group] = field(default_factory=dict[str, Group])
    """By name, in order; the system group is not among them."""
    settled: Mapping[str, int] = field(default_factory=dict[str, int])
    """Who was a member, since when, when every shard was last where it belongs."""
    forgotten: frozenset[str] = frozenset()
    deleted: Mapping[str, int] = field(default_factory=dict[str, int])
    """Groups that were deleted, and when."""
    placements: dict[ShardId, Placement] = field(default_factory=dict[ShardId, Placement], compare=False)
    """Computed once each."""

    @cached_property
    def joined(self) -> dict[str, int]:
        """Every member and the stamp of its joining."""
        return {name: member.joined for name, member in self.members.items()}

    @cached_property
    def births(self) -> dict[str, int]:
        """Every member and the stamp of its store's making."""
        return {name: member.birth for name, member in self.members.items()}

    @cached_property
    def view_id(self) -> bytes:
        """A digest of all that placements follow from: groups, members, and the settled members."""
        groups = [
            (each.name, each.incarnation, each.shards, each.replicas)
            for each in self.groups.values()
            # Those of a configuration need not be alike everywhere, and never appear in the middle of a move.
            if each.incarnation
        ]
        text = repr((sorted(self.joined.items()), sorted(self.settled.items()), groups))
        return hashlib.blake2b(text.encode(), digest_size=VIEW_ID_BYTES).digest()

    @property
    def is_settled(self) -> bool:
        """Whether every shard is where it belongs."""
        return self.joined == dict(self.settled)

    def shard_count(self, group: str) -> int | None:
        """How many shards a group has; None when there is no such group."""
        if group == SYSTEM_GROUP:
            return 1
        known = self.groups.get(group)
        return None if known is None else known.shards

    def shard(self, group: str, number: int) -> ShardId | None:
        """A shard of a group as it is now; None when there is none."""
        if group == SYSTEM_GROUP:
            return SYSTEM_SHARD if number == 0 else None
        known = self.groups.get(group)
        if known is None or not 0 <= number < known.shards:
            return None
        return ShardId(group, number, known.incarnation)

    def placement(self, shard: ShardId) -> Placement | None:
        """Who holds a shard; None when it is none of a group as it is now."""
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
        """Every shard of every group but the system group, in order."""
        for group in self.groups.values():
            for number in range(group.shards):
                yield ShardId(group.name, number, group.incarnation)

    @cached_property
    def joining(self) -> frozenset[str]:
        """The members that have a shard to fill before all can be settled."""
        placements = (self.placement(shard) for shard in self.shards())
        return frozenset(name for placement in placements if placement for name in placement.joining)

    def gives_up(self, shard: ShardId, name: str) -> bool:
        """Whether a member that has records of a shard is to hold them no more.

        While members change nobody gives anything up: who is filling itself may still need it.
        """
        if shard == SYSTEM_SHARD:
            return False
        if self.fate(shard) is not Fate.CURRENT:
            return True
        placement = self.placement(shard)
        return self.is_settled and placement is not None and name not in placement.holders

    def fate(self, shard: ShardId) -> Fate:
        """What becomes of records kept under a shard.

        Of a group that this view knows nothing of, not even that it was deleted, they stay.
        """
        group = self.groups.get(shard.group)
        if group is None:
            return Fate.DROP if shard.incarnation <= self.deleted.get(shard.group, -1) else Fate.CURRENT
        if shard.incarnation == group.incarnation:
            return Fate.CURRENT
        return Fate.DROP if shard.incarnation <= group.follows else Fate.MERGE
