"""What a node knows of its cluster: the members, the groups, and which members hold which shards.

The view is made from the cluster metadata of one epoch, or, before there is one, from the configuration. Two
nodes at the same epoch have the same view.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Identity, Member
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId


class ClusterView:
    """The members and groups of one epoch."""

    def __init__(
        self, metadata: ClusterMetadata, *, formed: bool = True, before: ClusterView | None = None
    ) -> None:
        """Look at `metadata`. It is not `formed` as long as the members have not agreed to it.

        `before` is a view of an earlier epoch. Placements that are still the same are taken from there.
        """
        self.metadata = metadata
        self.formed = formed
        self._placements: dict[ShardId, Placement] = {}
        self._earlier = None if before is None else _Earlier(before.metadata, before._placements)
        self.placed = 0
        """How many placements were computed, and not taken over."""

    @property
    def epoch(self) -> int:
        """The epoch; 0 as long as no cluster is formed."""
        return self.metadata.epoch if self.formed else 0

    @property
    def members(self) -> Mapping[str, Member]:
        """By name, in ring order; those that leave are among them."""
        return self.metadata.members

    @property
    def groups(self) -> Mapping[str, Group]:
        """By name, in order."""
        return self.metadata.groups

    @property
    def is_settled(self) -> bool:
        """Whether every shard lies where it belongs."""
        return self.metadata.is_settled

    def shard(self, group: str, number: int) -> ShardId | None:
        """The shard of this number in the present incarnation of a group, or None."""
        known = self.groups.get(group)
        if known is None or not 0 <= number < known.shards:
            return None
        return ShardId(group, number, known.incarnation)

    def placement(self, shard: ShardId) -> Placement | None:
        """Which members hold a shard; None when the shard belongs to no present incarnation of a group."""
        placement = self._placements.get(shard)
        if placement is None and self.shard(shard.group, shard.shard) == shard:
            placement = self._placements[shard] = self._place(shard)
        return placement

    def _place(self, shard: ShardId) -> Placement:
        known = None if self._earlier is None else self._earlier.placements.get(shard)
        if known is not None and self._earlier is not None and self._earlier.stays(known, self.metadata):
            return known
        self.placed += 1
        return self.metadata.place(shard, known)

    def shards(self, groups: Container[str] | None = None) -> Iterable[ShardId]:
        """Every shard of every group, or of these groups, in order."""
        return self.metadata.shards(groups)

    def unsettled(self) -> Iterable[Placement]:
        """The placements of the shards that do not lie by the last layout, in order."""
        for shard in self.metadata.unsettled_shards():
            placement = self.placement(shard)
            assert placement is not None, shard
            yield placement

    def counts(self, store: Identity) -> bool:
        """Whether a store is the one that members know by its name.

        A store in whose place another one was put knows the epoch, too, and finds its name among the
        replicas. But what it holds is not what they count on. Every store counts before the cluster is
        formed.
        """
        return not self.formed or self.metadata.is_member(store)

    def gives_up(self, shard: ShardId, name: str) -> bool:
        """Whether a member must drop the records that it has of a shard.

        While a shard moves no member drops records of it, because a joining replica may still have to copy
        them. Nothing is dropped before the cluster is formed.
        """
        if not self.formed:
            return False
        placement = self.placement(shard)
        return placement is None or (not placement.moving and name not in placement.holders)


@dataclass(slots=True)
class _Earlier:
    """The placements of an earlier epoch, and which of them are the same in another one."""

    metadata: ClusterMetadata
    placements: Mapping[ShardId, Placement]
    _same: dict[str, tuple[bool, ...]] = field(default_factory=dict[str, tuple[bool, ...]])
    """For each group that was asked for, which of its shards have the same stores, settled and coming."""

    def stays(self, placement: Placement, now: ClusterMetadata) -> bool:
        """Whether a placement is certainly the same now. It is cheap to ask."""
        shard = placement.shard
        same = self._same.get(shard.group)
        if same is None:
            same = self._same[shard.group] = _same_stores(self.metadata, now, shard.group)
        if not same or not same[shard.shard]:
            return False
        return not placement.moving or _same_turns(self.metadata, now, shard.group)


def _same_stores(before: ClusterMetadata, now: ClusterMetadata, name: str) -> tuple[bool, ...]:
    """Which shards of a group lie by the same stores as before, and are to lie by the same ones.

    It is empty if the group is another one, or if where all shards are to lie has changed.
    """
    group, known = now.groups[name], before.groups.get(name)
    if known is None or (now.cluster_id, now.foreign) != (before.cluster_id, before.foreign):
        return ()
    if (group.shards, group.incarnation) != (known.shards, known.incarnation):
        return ()
    lay, lie = before.layouts_of(known), now.layouts_of(group)
    last_lay, last_lie = len(before.layouts) - 1, len(now.layouts) - 1
    if lay[last_lay] != lie[last_lie]:
        return ()
    same = {(i, j): lay[i] == lie[j] for i in lay for j in lie}
    lay_by = before.lies.get(name) or (last_lay,) * group.shards
    lie_by = now.lies.get(name) or (last_lie,) * group.shards
    return tuple([same[pair] for pair in zip(lay_by, lie_by, strict=True)])


def _same_turns(before: ClusterMetadata, now: ClusterMetadata, name: str) -> bool:
    """Whether nothing has changed that the fence of a moving shard stands for, beside its replicas."""
    return now.movers == before.movers and now.altered.get(name) == before.altered.get(name)
