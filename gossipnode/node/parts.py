"""What a node is made of: the rooms, put together from the lowest to the highest.

local        what this node holds and knows
members      a channel, and a stream of requests, to each other member
repair       sessions, the holder of messages, rounds
replica      this node's own copy, for coordinators here and elsewhere
membership   which members and which groups there are
coordination clients' requests over the replicas of a record
hand_off     shards follow the members
queries      searches of all replicas, merged into one answer
news         what the store learns, for watches
watches      what becomes of records, for clients
secret       what members prove to each other where there is no TLS
access       which calls are let in
certificates what is shown to those who call, and to those who are called
snapshots    copies of the store, taken while the node runs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.settings import Settings
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.node.coordinate.coordination import Coordination, make_coordination
from gossipnode.node.coordinate.traced_requests import traced_handlers
from gossipnode.node.endpoints.change_service import ChangeService
from gossipnode.node.endpoints.discovery_service import DiscoveryService
from gossipnode.node.endpoints.gossip_service import GossipService
from gossipnode.node.endpoints.node_admin import NodeAdmin
from gossipnode.node.endpoints.node_service import NodeService
from gossipnode.node.endpoints.property_service import PropertyService
from gossipnode.node.endpoints.repair_service import RepairService
from gossipnode.node.endpoints.replica_service import ReplicaService
from gossipnode.node.endpoints.round_service import RoundService
from gossipnode.node.endpoints.snapshot_calls import SnapshotCalls
from gossipnode.node.endpoints.status_report import StatusReport
from gossipnode.node.hand_off.hand_off import HandOff
from gossipnode.node.local.digest_filler import fill_digests
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.node_state import NodeState
from gossipnode.node.membership.membership import Membership, make_membership
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.audit import Audit
from gossipnode.node.peers.certificates import Certificates, PeerDialer
from gossipnode.node.peers.members import Members
from gossipnode.node.peers.secret import Secret
from gossipnode.node.query.queries import Queries
from gossipnode.node.query.query_turns import QueryTurns
from gossipnode.node.repair.repair import Repair, make_repair
from gossipnode.node.replica.exchange import ReplicaExchange
from gossipnode.node.replica.lineages import ReplicaLineages
from gossipnode.node.replica.replica import Replica
from gossipnode.node.replica.retention_answers import RetentionAnswers
from gossipnode.node.replica.scan import ReplicaScan
from gossipnode.node.snapshots.snapshots import Snapshots
from gossipnode.node.watch.barrier import Barrier
from gossipnode.node.watch.feed_server import FeedServer
from gossipnode.node.watch.replica_versions import ReplicaVersions
from gossipnode.node.watch.store_news import StoreNews
from gossipnode.node.watch.watches import Watches
from gossipnode.node.world import World


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one node, of which each knows only those above it in this list."""

    settings: Settings
    state: NodeState
    memory: MemoryBudget
    local: LocalState
    members: Members
    repair: Repair
    replica: Replica
    exchange: ReplicaExchange
    scan: ReplicaScan
    lineages: ReplicaLineages
    retention: RetentionAnswers
    membership: Membership
    coordination: Coordination
    hand_off: HandOff
    queries: Queries
    news: StoreNews
    watches: Watches
    secret: Secret
    access: Access
    certificates: Certificates
    snapshots: Snapshots

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Find the cluster, then do what a member does, until cancelled.

        Raises:
            NotAMemberError: the cluster dropped this node, refuses it or its settings, or cannot be found.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self.coordination.replicas.run)
            nursery.start_soon(self.access.audit.follow, self.local.cluster)
            nursery.start_soon(self.snapshots.remove_remains)
            nursery.start_soon(self.snapshots.recall)
            # Whatever the boot waits for, it must not keep the members' word on the store waiting.
            nursery.start_soon(self.membership.clearing.run)
            nursery.start_soon(self.membership.hellos.run)
            await self.membership.boot.run()
            nursery.start_soon(self.membership.run)
            nursery.start_soon(self.hand_off.run)
            nursery.start_soon(self.coordination.read_repair.run)
            nursery.start_soon(self.local.indexes.run)
            nursery.start_soon(self.news.run)
            nursery.start_soon(self.local.floors.run)
            nursery.start_soon(self.members.boots.run)
            nursery.start_soon(
                fill_digests, self.local.store, self.local.writer.written, self._rounds_compare_trees
            )
            nursery.start_soon(self.local.item_indexes.keep, self.local.shards)
            task_status.started()

    def _rounds_compare_trees(self) -> bool:
        return bool(self.local.shards.view.metadata.foreign) or not self.local.item_indexes.have_key


def make_parts(
    settings: Settings,
    world: World,
    state: NodeState,
    memory: MemoryBudget,
    local: LocalState,
    members: Members,
    dialer: PeerDialer,
    secret: Secret,
    certificates: Certificates,
) -> Parts:
    """Put the parts together. Nothing runs yet."""
    repair = make_repair(settings, world, local, members)
    replica = Replica(local)
    membership = make_membership(settings, local, members, dialer, repair.roots, world.rng)
    news = StoreNews(local.store)
    coordination = make_coordination(
        local, members, replica, membership.news, world.rng, repair.catch_up.missed, world.traces
    )
    return Parts(
        settings=settings,
        state=state,
        memory=memory,
        local=local,
        members=members,
        repair=repair,
        replica=replica,
        exchange=ReplicaExchange(
            replica.read, replica.write, lambda: local.cluster.boot.mark, members.refuse_overtaken
        ),
        scan=ReplicaScan(local, replica),
        lineages=ReplicaLineages(local, replica),
        retention=RetentionAnswers(local),
        membership=membership,
        coordination=coordination,
        hand_off=HandOff(local, members, repair.sessions, membership),
        queries=Queries(local, members, coordination.steps),
        news=news,
        watches=Watches(local, members, news, coordination.steps),
        secret=secret,
        access=Access(
            settings,
            local.cluster,
            Audit(world.events),
            lambda: certificates.warnings(settings.node.name, world.wall_clock() / NANOSECONDS_PER_SECOND),
        ),
        certificates=certificates,
        snapshots=Snapshots(settings.node, world.wall_clock),
    )


def make_handlers(parts: Parts, world: World) -> Mapping[Any, Any]:
    """The handlers of every service but health and reflection, by method."""
    local, repair, membership = parts.local, parts.repair, parts.membership
    coordination, queries, rng = parts.coordination, parts.queries, world.rng
    turns = QueryTurns(local.shards)
    status = StatusReport(
        parts.state,
        local,
        parts.members,
        repair.origin,
        repair.purges,
        repair.catch_up.missed_writes,
        parts.hand_off,
        coordination.read_repair,
        parts.memory,
        membership.forming,
        membership.clearing,
        parts.access,
        parts.news,
    )
    versions = ReplicaVersions(local, parts.members)
    endpoints = (
        _repair_service(parts, world),
        GossipService(local.shards, parts.members, repair.holder, repair.witness),
        PropertyService(local, coordination, queries, turns, rng),
        NodeService(local, coordination, queries, turns, repair, status, parts.access, rng),
        NodeAdmin(membership, parts.access.audit),
        ChangeService(
            local.shards, parts.watches, Barrier(local, parts.members, coordination.steps), versions
        ),
        SnapshotCalls(parts.snapshots, parts.access.audit),
        RoundService(local.shards, repair),
        parts.secret,
        DiscoveryService(parts.settings.node, parts.state, world.wall_clock()),
        ReplicaService(
            parts.exchange,
            parts.scan,
            parts.lineages,
            versions,
            FeedServer(local, parts.news),
            parts.retention,
            membership,
            parts.members,
            parts.access.audit,
            lambda: local.cluster.boot.mark,
        ),
    )
    handlers = {method: handler for each in endpoints for method, handler in each.handlers().items()}
    return traced_handlers(handlers, world.traces) if world.traces.on else handlers


def _repair_service(parts: Parts, world: World) -> RepairService:
    return RepairService(
        parts.local,
        parts.repair.bounds,
        parts.repair.witness,
        parts.state,
        max_sessions=parts.settings.repair.max_sessions,
        events=world.events,
        traces=world.traces,
    )
