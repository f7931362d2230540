"""This node as a part of its cluster: registry, members, replicas, coordination. Puts the parts together.

Cluster
 |- replicas         requests that go on behind their callers
 |- membership       channels follow the registry
 |- groups           definitions made at two places at once
 |- liveness         hellos to every member
 |- hand-off         shards follow the members
 |- read repair
 `- indexes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog
import trio

from gossipnode.config.settings import Settings
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import SYSTEM_SHARD
from gossipnode.core.model.property import Record
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.coordinate.coordinator import Coordinator
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.coordinate.replicas import Replicas
from gossipnode.node.endpoints.replica_service import AdminEndpoint, ClusterEndpoint
from gossipnode.node.hand_off.hand_off import HandOff
from gossipnode.node.local.index_keeper import IndexKeeper
from gossipnode.node.local.shards import Shards
from gossipnode.node.membership.boot import Boot
from gossipnode.node.membership.group_admin import GroupAdmin
from gossipnode.node.membership.member_admin import Membership
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.hello import Liveness
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.query.cluster_query import ClusterQueries
from gossipnode.node.repair.ring_peers import RingPeers
from gossipnode.node.replica.exchange import ReplicaExchange
from gossipnode.node.replica.replica import Replica
from gossipnode.node.replica.scan import ReplicaScan
from gossipnode.node.request_errors import TooFewReplicasError, UnknownGroupError
from gossipnode.node.world import World


class Cluster:
    """The parts, and the tasks that they need."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        access: Access,
        members: Members,
        shards: Shards,
        peers: RingPeers,
    ) -> None:
        """Nothing runs before `run`."""
        self._peers = peers
        self._members = members
        self._log = structlog.get_logger("gossipnode.cluster")
        replica = Replica(shards)
        self._replicas = Replicas(shards, members, replica)
        sync = RegistrySync(shards, members, self._compare)
        self.read_repair = ReadRepair(shards, members, replica)
        self.coordinator = Coordinator(shards, self._replicas, self.read_repair, sync.sync, world.rng)
        self.bulk = BulkWrites(self.coordinator)
        self._indexes = IndexKeeper(shards)
        self.queries = ClusterQueries(self.coordinator, members, self._indexes.asked)
        self.hand_off = HandOff(shards, members, peers, sync, self._rehome)
        self.membership = Membership(settings, shards, members, sync)
        self.exchange = ReplicaExchange(replica.read, replica.write)
        self._liveness = Liveness(members, shards.registry, sync, self.hand_off.progress)
        open_unnamed = partial(access.open_channel, world.network, world.rng, None)
        self._boot = Boot(settings, shards, members, sync, self._liveness, open_unnamed)
        self._groups = GroupAdmin(shards, sync)
        scan = ReplicaScan(shards, replica, self._indexes.asked)
        self._endpoints = (
            ClusterEndpoint(shards, self.exchange, scan, self._liveness, self.membership),
            AdminEndpoint(self._groups, self.membership, shards),
        )

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {method: handler for each in self._endpoints for method, handler in each.handlers().items()}

    async def run(self, birth: int, *, task_status: trio.TaskStatus[None]) -> None:
        """Become a member, then do what a member does, until cancelled.

        Raises:
            NotAMemberError: the cluster forgot this node, refuses it, or cannot be found.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self._replicas.run)
            await self._boot.run(birth)
            nursery.start_soon(self.membership.follow)
            nursery.start_soon(self._groups.follow)
            nursery.start_soon(self._liveness.run)
            nursery.start_soon(self.hand_off.run)
            nursery.start_soon(self.read_repair.run)
            nursery.start_soon(self._indexes.run)
            task_status.started()

    async def _compare(self, peer: Peer) -> bool:
        """A session over the system group."""
        hop = await self._peers.session(peer, SYSTEM_SHARD, self._members.metadata)
        if hop.end not in (HopEnd.EQUAL, HopEnd.REPAIRED):
            self._log.info("registries not compared", peer=peer.name, reason=hop.reason)
            return False
        return True

    async def _rehome(self, records: Sequence[Record]) -> bool:
        """Write records of a lost definition of a group to the one that won."""
        try:
            await self.bulk.write_versions(records, AckLevel.QUORUM)
        except (TooFewReplicasError, UnknownGroupError) as error:
            self._log.info("records not moved yet", reason=str(error))
            return False
        return True
