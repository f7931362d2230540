"""What a node knows of its cluster: the members, the groups, and which members hold which shards.

The view is made from the cluster metadata of one epoch, or, before there is one, from the configuration. Two
nodes at the same epoch have the same view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Identity, Member
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId


class ClusterView:
    """The members and groups of one epoch."""

    def __init__(self, metadata: ClusterMetadata, *, formed: bool = True) -> None:
        """Look at `metadata`. It is not `formed` as long as the members have not agreed to it."""
        self.metadata = metadata
        self.formed = formed
        self._placements: dict[ShardId, Placement] = {}

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
            placement = self._placements[shard] = self.metadata.place(shard)
        return placement

    def shards(self) -> Iterable[ShardId]:
        """Every shard of every group, in order."""
        return self.metadata.shards()

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
