"""Which shards this node holds, where an entity belongs, and the store behind them.

Every write to the store goes through here, so that the clock, the digest filler and the counters hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
import trio

from gossipnode.core.placement import replicas_of
from gossipnode.core.property import Entity, Record, ShardId
from gossipnode.core.slot_tree import shard_of
from gossipnode.core.version import HybridClock
from gossipnode.node.repair_stream import ShardStore
from gossipnode.node.settings import GroupSettings
from gossipnode.store.interface import Store, WriteResult, Written


class UnknownGroupError(LookupError):
    """A group that this node has no definition of."""

    def __init__(self, group: str, known: Sequence[str]) -> None:
        """Name the group and those that there are."""
        has = ", ".join(sorted(known)) or "none"
        super().__init__(f"group {group[:80]!r} is unknown here; this node has: {has}")


class Shards:
    """The groups of this node, and its store."""

    def __init__(
        self,
        own_name: str,
        members: Sequence[str],
        groups: Mapping[str, GroupSettings],
        store: Store,
        clock: HybridClock,
        wall_clock: Callable[[], int],
    ) -> None:
        """Every group of `groups`, on those of `members` that placement gives its shards to."""
        self.store = store
        self.clock = clock
        self.wall_clock = wall_clock
        self.ahead = 0
        """Records taken from peers with a stamp too far ahead of our clock."""
        self.written = trio.Event()
        """Set at the next write; a new event then takes its place."""
        self._own_name = own_name
        self._shard_counts = {name: group.shards for name, group in groups.items()}
        self._replicas = {
            shard: replicas_of(shard, members, group.replicas)
            for name, group in groups.items()
            for shard in (ShardId(name, number) for number in range(group.shards))
        }
        self._log = structlog.get_logger("gossipnode.store")

    def __iter__(self) -> Iterator[ShardId]:
        """The shards that this node holds, in order."""
        return iter(sorted(shard for shard in self._replicas if self.holds(shard)))

    @property
    def groups(self) -> dict[str, int]:
        """Every group, with its number of shards."""
        return dict(self._shard_counts)

    def holds(self, shard: ShardId) -> bool:
        """Whether this node is a replica of a shard."""
        return self._own_name in self._replicas.get(shard, ())

    def replicas(self, shard: ShardId) -> tuple[str, ...]:
        """A shard's replicas, in ring order; none for a shard that does not exist."""
        return self._replicas.get(shard, ())

    def shard_count(self, group: str) -> int:
        """How many shards a group has.

        Raises:
            UnknownGroupError: there is no such group.
        """
        count = self._shard_counts.get(group)
        if count is None:
            raise UnknownGroupError(group, tuple(self._shard_counts))
        return count

    def shards_of(self, group: str) -> list[ShardId]:
        """Every shard of a group.

        Raises:
            UnknownGroupError: there is no such group.
        """
        return [ShardId(group, number) for number in range(self.shard_count(group))]

    def shard_of(self, entity: Entity) -> ShardId:
        """The shard of an entity.

        Raises:
            UnknownGroupError: there is no such group.
        """
        return ShardId(entity.group, shard_of(entity, self.shard_count(entity.group)))

    async def write(self, shard_records: Sequence[tuple[ShardId, Record]]) -> list[WriteResult]:
        """Store records stamped by our own clock; see `Store.write`."""
        results = await self.store.write(shard_records, stamp=self.clock.last)
        self._wrote()
        return results

    def session_store(self, shard: ShardId | None) -> ShardStore:
        """The store for one session; `shard` None when the peer is to name it."""
        return ShardStore(self.store, shard, self.holds, self._taken)

    def _taken(self, records: Sequence[Record], results: Sequence[WriteResult]) -> None:
        """A session has stored records of a peer: our clock goes on behind them, unless they are absurd."""
        now = self.wall_clock()
        ahead = [
            record
            for record, result in zip(records, results, strict=True)
            if result.outcome is Written.STORED and not self.clock.saw(record.version.mod_revision, now)
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
        self._wrote()

    def _wrote(self) -> None:
        written, self.written = self.written, trio.Event()
        written.set()
