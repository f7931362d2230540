"""The requests of clients that records of this replica include, so that a retry does not write again.

They are kept in the store beside each record, in the transaction that writes it, so they outlive a restart.
See `core.query.request_lineage` for the rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from gossipnode.core.model.property import Entity, ShardId
from gossipnode.core.model.version import Version
from gossipnode.core.query.replica_messages import WriteRecords
from gossipnode.core.query.request_lineage import (
    REQUESTS_REMEMBERED_NANOSECONDS,
    KeptLineage,
    Lineage,
    LineagePage,
    continued,
)
from gossipnode.node.local.clock import Clock
from gossipnode.store.interface import Store
from gossipnode.wire.replica.lineage_codec import decode_kept, encode_kept

RECORDS_AT_HAND_MAX = 16_384
"""Of how many records the lineage is at hand in memory: those written last. The store has the others.

A record takes some 700 bytes, and 200 bytes for each further request.
"""


class RequestMemory:
    """What this replica keeps beside records: which requests they include."""

    __slots__ = ("_at_hand", "_clock", "_store")

    def __init__(self, store: Store, clock: Clock) -> None:
        """What `store` keeps beside its records."""
        self._store = store
        self._clock = clock
        self._at_hand: OrderedDict[tuple[ShardId, Entity], KeptLineage] = OrderedDict()

    def __len__(self) -> int:
        """Of how many records something is at hand."""
        return len(self._at_hand)

    async def lineage(self, shard: ShardId, entity: Entity, held: Version | None) -> Lineage:
        """What is known of the version that we hold, on whatever path it came.

        Raises:
            StoreError: it cannot be read.
        """
        if held is None:
            return Lineage()
        kept = await self._kept(shard, entity)
        return Lineage((), held.stamp) if kept is None else kept.of(held)

    async def to_keep(self, request: WriteRecords) -> KeptLineage | None:
        """What is to be kept beside the record of a write, if that is known.

        Raises:
            StoreError: what is kept so far cannot be read.
        """
        if request.before is None or len(request.records) != 1:
            return None
        (record,) = request.records
        # What the coordinator does not know for certain, we may.
        kept = await self._kept(request.shard, record.entity) if request.before.since else None
        return KeptLineage(record.version, continued(request.before, kept and kept.lineage, request.known))

    def took(self, shard: ShardId, entity: Entity, kept: KeptLineage) -> None:
        """Have at hand what the store has kept in a write."""
        earlier = self._at_hand.pop((shard, entity), None)
        # The tasks of two writes need not go on in the order of their commits.
        newer = kept if earlier is None or earlier.version <= kept.version else earlier
        self._at_hand[shard, entity] = newer
        while len(self._at_hand) > RECORDS_AT_HAND_MAX:
            self._at_hand.popitem(last=False)

    async def recent(self, shard: ShardId, after: Entity | None) -> LineagePage:
        """A page of what is kept of requests of the last minutes, for a replica that is new to the shard.

        Raises:
            StoreError: it cannot be read.
        """
        since = max(0, self._clock.now() - REQUESTS_REMEMBERED_NANOSECONDS)
        return await self._store.lineages.page(shard, after=after, since=since)

    async def learn(self, shard: ShardId, told: Iterable[tuple[Entity, bytes]]) -> None:
        """Keep what another replica tells, together with what is kept here.

        Raises:
            StoreError: nothing was kept.
        """
        changes: list[tuple[Entity, bytes, bytes]] = []
        for entity, raw in told:
            theirs = decode_kept(raw)
            if theirs is not None:
                before = await self._store.lineages.of(shard, entity)
                ours = decode_kept(before)
                joined = theirs if ours is None else ours.joined(theirs)
                changes.append((entity, before, encode_kept(joined)))
        await self._store.lineages.keep(shard, changes)
        for entity, _, _ in changes:
            self._at_hand.pop((shard, entity), None)

    async def _kept(self, shard: ShardId, entity: Entity) -> KeptLineage | None:
        kept = self._at_hand.get((shard, entity))
        if kept is None:
            kept = decode_kept(await self._store.lineages.of(shard, entity))
            if kept is not None:
                self.took(shard, entity, kept)
        return kept
