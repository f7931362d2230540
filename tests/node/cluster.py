"""Clusters in memory as the tests of a node use them: clients' requests, and what stores hold."""

from __future__ import annotations

from gossipnode.core.model.property import Entity
from gossipnode.node.coordinate.coordinator import ApplyResult
from gossipnode.sim import Cluster
from tests.node.support import tags_of
from tests.records import entity, prop

N1 = entity("n/1")


async def put(cluster: Cluster, name: str, ack: str = "", request_id: str = "", **tags: int) -> ApplyResult:
    """Merge tags into n/1, by one node."""
    coordinator = cluster.coordinator(name)
    return await coordinator.apply(prop("n/1", **tags), replace=False, ack=ack, request_id=request_id)


async def tags_at(cluster: Cluster, name: str, ack: str = "") -> object:
    """The tags of n/1 as one node tells them; None when there is no live record."""
    got = await cluster.coordinator(name).get(N1, ack=ack)
    return None if got.record is None else tags_of(got.record)


async def versions(cluster: Cluster, of: Entity) -> list[int]:
    """The mod_revision that each replica holds, 0 for nothing, by the names of the nodes."""
    held = await cluster.held_of(of)
    return [0 if record is None else record.version.mod_revision for _, record in sorted(held.items())]
