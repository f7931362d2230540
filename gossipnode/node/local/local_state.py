"""What this node holds and knows, in one place: the face of this room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gossipnode.node.local.clock import Clock
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.fill_state import FillState
from gossipnode.node.local.floor_keeper import FloorKeeper
from gossipnode.node.local.index_keeper import IndexKeeper
from gossipnode.node.local.item_indexes import ItemIndexes
from gossipnode.node.local.record_writer import RecordWriter
from gossipnode.node.local.request_memory import RequestMemory
from gossipnode.node.local.retention_keeper import RetentionKeeper
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.world import MemoryQuarantine, Quarantine
from gossipnode.store.interface import Store


@dataclass(frozen=True, slots=True)
class LocalState:
    """The parts that other rooms read, and the writer through which they write."""

    own_name: str
    store: Store
    """To read from. Writes go through `writer`, except for notes, indexes and dropped shards."""
    writer: RecordWriter
    cluster: ClusterState
    shards: ShardMap
    clock: Clock
    floors: FloorKeeper
    fill: FillState
    indexes: IndexKeeper
    requests: RequestMemory
    item_indexes: ItemIndexes
    retention: RetentionKeeper


def local_state(
    store: Store,
    cluster: ClusterState,
    wall_clock: Callable[[], int],
    last_stamp: int = 0,
    quarantine: Quarantine | None = None,
) -> LocalState:
    """Put the parts together.

    `cluster` is loaded already; `last_stamp` is the largest stamp that the store has kept. Without a
    `quarantine` what would go there is kept in memory.
    """
    shards = ShardMap(cluster)
    clock = Clock(wall_clock, last_stamp)
    writer, floors = RecordWriter(store, clock), FloorKeeper(store, clock)
    return LocalState(
        own_name=cluster.own_name,
        store=store,
        writer=writer,
        cluster=cluster,
        shards=shards,
        clock=clock,
        floors=floors,
        fill=FillState(shards, store),
        indexes=IndexKeeper(shards, store),
        requests=RequestMemory(store, clock),
        item_indexes=ItemIndexes(store, lambda: cluster.view.metadata.key),
        retention=RetentionKeeper(
            store, cluster, shards, clock, floors, writer, quarantine or MemoryQuarantine()
        ),
    )
