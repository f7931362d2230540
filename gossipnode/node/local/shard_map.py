"""Which shards there are, which members hold each, and to which an entity belongs, in the present view."""

from __future__ import annotations

from collections.abc import Container

from gossipnode.concurrency.change_event import ChangeEvent
from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, ShardId
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.refusals.request_errors import UnknownGroupError


class ShardMap:
    """The shards of every group, looked up in the present view."""

    def __init__(self, cluster: ClusterState) -> None:
        """Look at the view of `cluster`."""
        self.own_name = cluster.own_name
        self._cluster = cluster

    @property
    def own(self) -> Identity:
        """This node, by its name and the birth of its store."""
        return self._cluster.own

    @property
    def cleared(self) -> bool:
        """See `ClusterState.cleared`."""
        return self._cluster.cleared

    @property
    def view(self) -> ClusterView:
        """Members, groups and placements as of now."""
        return self._cluster.view

    @property
    def changed(self) -> ChangeEvent:
        """Tells of every new view."""
        return self._cluster.changed

    async def held(self, groups: Container[str] | None = None) -> list[ShardId]:
        """The shards that this node holds, in order, by the view at the time of the call.

        With `groups`, only the shards of these.
        """
        view, loop = self.view, LoopSteps()
        held: list[ShardId] = []
        if not view.counts(self.own):
            return held
        for shard in view.shards(groups):
            placement = view.placement(shard)
            if placement is not None and self.own_name in placement.holders:
                held.append(shard)
            await loop.step()
        return held

    @property
    def groups(self) -> dict[str, int]:
        """Every group with its number of shards."""
        return {name: group.shards for name, group in self.view.groups.items()}

    def find(self, group: str, number: int) -> ShardId | None:
        """A shard as it is now, with the incarnation of its group; None when there is no such shard."""
        return self.view.shard(group, number)

    def current(self, shard: ShardId) -> ShardId | None:
        """The shard that a peer means by group and number, if this node holds it."""
        found = self.find(shard.group, shard.shard)
        return found if found is not None and self.holds(found) else None

    def holds(self, shard: ShardId) -> bool:
        """Whether this node is a replica of a shard, or is to become one."""
        return self.own_name in self.replicas(shard) and self.view.counts(self.own)

    def replicas(self, shard: ShardId) -> tuple[str, ...]:
        """The members that hold a shard, or are to hold it, in ring order; () for an unknown shard."""
        placement = self.view.placement(shard)
        return () if placement is None else placement.holders

    def ring(self, shard: ShardId) -> tuple[str, ...]:
        """Whom a round of a shard passes by, in ring order: its replicas, and foreign members."""
        foreign = self.view.metadata.foreign_of(shard)
        return tuple(sorted({*self.replicas(shard), *foreign})) if foreign else self.replicas(shard)

    def placement(self, shard: ShardId) -> Placement:
        """Which members hold a shard.

        Raises:
            UnknownGroupError: there is no such shard now.
        """
        placement = self.view.placement(shard)
        if placement is None:
            raise UnknownGroupError(shard.group, self.view.groups)
        return placement

    def shard_count(self, group: str) -> int:
        """How many shards a group has.

        Raises:
            UnknownGroupError: there is no such group.
        """
        known = self.view.groups.get(group)
        if known is None:
            raise UnknownGroupError(group, self.view.groups)
        return known.shards

    def shards_of(self, group: str) -> list[ShardId]:
        """Every shard of a group.

        Raises:
            UnknownGroupError: there is no such group.
        """
        numbers = range(self.shard_count(group))
        return [shard for number in numbers if (shard := self.find(group, number)) is not None]

    def shard_of(self, entity: Entity) -> ShardId:
        """The shard of an entity.

        Raises:
            UnknownGroupError: there is no such group.
        """
        shard = self.find(entity.group, shard_of(entity, self.shard_count(entity.group)))
        if shard is None:
            raise UnknownGroupError(entity.group, self.view.groups)
        return shard
