"""Which shards this node holds, where an entity belongs, and the store behind them.

Every write to the store goes through here, so that the registry, the clock, the digest filler and the
counters hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import structlog
import trio

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import SYSTEM_GROUP, SYSTEM_SHARD, ClusterView
from gossipnode.core.model.entity_hash import shard_of
from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.core.model.version import HybridClock
from gossipnode.core.model.write_result import WriteOutcome, WriteResult
from gossipnode.node.local.registry import Registry
from gossipnode.node.repair.repair_stream import ShardStore
from gossipnode.node.request_errors import ShardGoneError, UnknownGroupError
from gossipnode.store.interface import Store


class Shards:
    """The groups of this node as its view has them, and its store."""

    def __init__(
        self,
        own_name: str,
        registry: Registry,
        store: Store,
        clock: HybridClock,
        wall_clock: Callable[[], int],
    ) -> None:
        """Every group of the registry's view, on those members that placement gives its shards to."""
        self.store = store
        self.clock = clock
        self.wall_clock = wall_clock
        self.own_name = own_name
        self.registry = registry
        self.ahead = 0
        """Records taken from peers with a stamp too far ahead of our clock."""
        self.written = trio.Event()
        """Set at the next write; a new event then takes its place."""
        self._log = structlog.get_logger("gossipnode.store")

    @property
    def view(self) -> ClusterView:
        """Members, groups and placements as of now."""
        return self.registry.view

    def __iter__(self) -> Iterator[ShardId]:
        """The shards that this node holds, in order; not the one of the system group."""
        return iter([shard for shard in self.view.shards() if self.holds(shard)])

    @property
    def groups(self) -> dict[str, int]:
        """Every group, the system's too, with its number of shards."""
        counts = {name: group.shards for name, group in self.view.groups.items()}
        return {**counts, SYSTEM_GROUP: 1}

    def find(self, group: str, number: int) -> ShardId | None:
        """A shard as it is now, with the incarnation of its group; None when there is none."""
        return self.view.shard(group, number)

    def current(self, shard: ShardId) -> ShardId | None:
        """The shard that a peer means by group and number, if this node holds it."""
        found = self.find(shard.group, shard.shard)
        return found if found is not None and self.holds(found) else None

    def holds(self, shard: ShardId) -> bool:
        """Whether this node is a replica of a shard, or is to become one.

        The registry is kept by every node, also by one that is no member yet, or no more.
        """
        return shard == SYSTEM_SHARD or self.own_name in self.replicas(shard)

    def replicas(self, shard: ShardId) -> tuple[str, ...]:
        """Who holds a shard, or is to hold it, in ring order; none for a shard that does not exist."""
        placement = self.view.placement(shard)
        return () if placement is None else placement.holders

    def placement(self, shard: ShardId) -> Placement:
        """Who holds a shard.

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
        count = self.view.shard_count(group)
        if count is None:
            raise UnknownGroupError(group, self.view.groups)
        return count

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

    async def write(self, shard_records: Sequence[tuple[ShardId, Record]]) -> list[WriteResult]:
        """Store records, our own or a peer's; see `Store.write`. Our clock goes on behind their stamps."""
        results = await self.store.write(shard_records, stamp=self.clock.last)
        self._written(shard_records, results)
        return results

    def session_store(
        self,
        shard: ShardId | None,
        *,
        leaving: bool = False,
        check: Callable[[ShardId], None] | None = None,
    ) -> ShardStore:
        """The store for one session; `shard` None when the peer is to name it, and `check` then judges it.

        `leaving`: the shard is one that this node holds no more, and hands over.
        """

        async def take(of: ShardId, records: Sequence[Record]) -> list[WriteResult]:
            if not leaving and self.current(of) != of:
                # Its group was deleted, or moved away, since the session began: what is dropped stays so.
                raise ShardGoneError(f"shard {of} is held here no more")
            return await self.write([(of, record) for record in records])

        def held(asked: ShardId) -> ShardId | None:
            if leaving:
                return shard
            current = self.current(asked)
            if current is not None and check is not None:
                check(current)
            return current

        return ShardStore(self.store, shard, held, take)

    def _written(
        self, shard_records: Sequence[tuple[ShardId, Record]], results: Sequence[WriteResult]
    ) -> None:
        now = self.wall_clock()
        ahead = [
            record
            for (_, record), result in zip(shard_records, results, strict=True)
            if result.outcome is WriteOutcome.STORED and not self.clock.saw(record.version.mod_revision, now)
        ]
        if ahead:
            self.ahead += len(ahead)
            furthest = max(ahead, key=lambda record: record.version.mod_revision)
            self._log.warning(
                "records from the future",
                records=len(ahead),
                furthest=furthest.entity.text,
                ahead_seconds=round((furthest.version.mod_revision - now) / 1e9),
            )
        system = [
            record
            for (shard, record), result in zip(shard_records, results, strict=True)
            if shard == SYSTEM_SHARD and result.outcome is WriteOutcome.STORED
        ]
        if system:
            self.registry.took(system)
        written, self.written = self.written, trio.Event()
        written.set()
