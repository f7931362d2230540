"""A running node: what it is made of, in which order its parts start, and how it stops.

run_node
 |- store            opened first, closed last
 |- members          a channel, and a stream of requests, to each
 |- reports          to origins; goes on while the rest stops
 |- endpoint         listeners -> a task per connection -> a task per call
 |- cluster          hellos, the registry, hand-off of shards, requests that go on behind their callers
 |- ring             a task per shard that holds a message
 |- rounds           a task per round that this node started
 |- scheduler        when rounds start by themselves
 `- digest filler
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
import trio

from gossipnode.config.settings import Settings
from gossipnode.core.model.property import ShardId
from gossipnode.core.model.version import HybridClock
from gossipnode.core.ring.turn import Cause, RoundMessage
from gossipnode.node.endpoints.node_service import NodeEndpoint
from gossipnode.node.endpoints.property_service import PropertyEndpoint
from gossipnode.node.endpoints.query_answer import TRACE_ID_BITS
from gossipnode.node.endpoints.reflection_service import ReflectionEndpoint
from gossipnode.node.endpoints.repair_service import ReplicaEndpoint
from gossipnode.node.endpoints.status_report import StatusSource
from gossipnode.node.local.digest_filler import fill_digests
from gossipnode.node.local.registry import Registry, configured_groups
from gossipnode.node.local.shards import Shards
from gossipnode.node.membership.boot import birth_of
from gossipnode.node.parts import Cluster
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.members import Members, open_members
from gossipnode.node.repair.holder import RingRunner
from gossipnode.node.repair.origin import Origin, RoundWatch, TooManyRoundsError
from gossipnode.node.repair.ring_peers import RingPeers, SessionSettings
from gossipnode.node.repair.schedule import Schedule, run_schedule, utc
from gossipnode.node.world import World
from gossipnode.rpc import Server
from gossipnode.rpc.server.health import HealthService, ServingStatus
from gossipnode.store.interface import LeafDigest
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.property.index_rows import payload_rows

ROUND_ID_BITS = 96

DRAIN_SECONDS = 10.0
"""From the first signal to the end, whatever is still running."""

DRAIN_SESSIONS_SECONDS = 6.0
"""The part of it that running sessions and calls get to finish."""

DRAIN_CLOSE_SECONDS = 1.0
"""The part of it that is kept for closing what is left, the store last."""


class NodeFailedError(Exception):
    """The node cannot go on; the text says why, and what to do."""


async def run_node(
    settings: Settings, world: World, *, task_status: trio.TaskStatus[Node] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a node until its handle's `request_drain`, then stop it in order.

    `task_status` is given the handle once the node serves.

    Raises:
        CertificateError: a file of [tls] cannot be used.
        NotAMemberError: the cluster that it is to join cannot be found, or refuses it.
        StoreError: the data directory is in use, damaged, or too new.
        OSError: the address cannot be listened at.
        NodeFailedError: the store failed later on.
    """
    access = Access(settings)
    async with world.open_store(settings, _leaf_digest(settings), payload_rows) as store:
        # Listening comes before the nurseries, so that a port in use is an error of its own.
        listeners = await world.network.listen(settings.node.listen)
        open_channel = partial(access.open_channel, world.network, world.rng)
        advertised = settings.node.advertise
        async with (
            _closing(listeners),
            open_members(settings.node.name, advertised, open_channel, access.metadata) as members,
        ):
            birth = await birth_of(store, world.wall_clock())
            joins = bool(settings.cluster.join)
            registry = Registry(store, configured_groups(settings), adopt_configured=joins)
            await registry.load()
            access.members = lambda: registry.view.members.keys() | registry.view.forgotten
            clock = HybridClock(await store.last_stamp())
            shards = Shards(settings.node.name, registry, store, clock, world.wall_clock)
            node = Node(settings, world, access, members, shards)
            await node.run(listeners, birth, task_status)
        if node.failure:
            raise NodeFailedError(node.failure)


@asynccontextmanager
async def _closing(listeners: Sequence[trio.abc.Listener[Any]]) -> AsyncGenerator[None]:
    """Close what nobody came to serve. Closing twice does no harm."""
    try:
        yield
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


def _leaf_digest(settings: Settings) -> LeafDigest:
    return partial(leaf_digest, spacing="commas" if settings.repair.leaf_json == "commas" else "none")


class Node:
    """The handle of a running node, and the parts that it is made of."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        access: Access,
        members: Members,
        shards: Shards,
    ) -> None:
        """Put the parts together. Nothing runs before `run`."""
        self.address = settings.node.listen
        """Where the node listens, once it does."""
        self.state = "starting"
        """starting, ready, draining or unhealthy."""
        self.failure = ""
        """Why the node had to stop; empty when it did not have to."""
        self._settings = settings
        self._world = world
        self._access = access
        self._members = members
        self._shards = shards
        self._stopping = trio.Event()
        self._schedule = Schedule(settings.repair.schedule) if settings.repair.schedule else None
        self._rounds: trio.Nursery | None = None
        self._log = structlog.get_logger("gossipnode.node").bind(node=settings.node.name)
        self._origin = Origin(
            settings.node.name,
            wall_clock=world.wall_clock,
            new_round_id=lambda: f"{world.rng.getrandbits(ROUND_ID_BITS):024x}",
            deadline_seconds=settings.repair.session_deadline_seconds,
        )
        self._session = SessionSettings(settings.repair.session_deadline_seconds, settings.repair.page_leaves)
        self._peers = RingPeers(members, shards, self._origin, self._session)
        self._ring = RingRunner(
            settings.node.name,
            self._peers,
            max_sessions=settings.repair.max_sessions,
            half_interval=self._half_interval,
            rng=world.rng,
        )
        self._health = HealthService({"": ServingStatus.NOT_SERVING})
        self._cluster = Cluster(settings, world, access, members, shards, self._peers)
        self._server = self._make_server()

    def _make_server(self) -> Server:
        settings, cluster = self._settings, self._cluster
        status = StatusSource(
            self._members,
            self._shards,
            self._origin,
            cluster.hand_off,
            cluster.read_repair,
            lambda: self.address,
            lambda: self.state,
        )
        replica = ReplicaEndpoint(
            self._members,
            self._shards,
            self._ring,
            max_sessions=settings.repair.max_sessions,
            settings=self._session,
            draining=self._stopping.is_set,
        )
        coordinator, bulk, queries = cluster.coordinator, cluster.bulk, cluster.queries

        def new_trace_id() -> str:
            return f"{self._world.rng.getrandbits(TRACE_ID_BITS):016x}"

        own = NodeEndpoint(coordinator, bulk, queries, self._origin, status, self.start_round, new_trace_id)
        handlers: dict[Any, Any] = {
            **self._health.handlers(),
            **replica.handlers(),
            **PropertyEndpoint(coordinator, bulk, queries, new_trace_id).handlers(),
            **own.handlers(),
            **cluster.handlers(),
        }
        handlers |= ReflectionEndpoint(handlers).handlers()
        return Server(handlers, authorize=self._access.authorize)

    def request_drain(self) -> None:
        """Let the node stop in order; `run_node` returns once it has."""
        self._stopping.set()

    def reload_certificates(self) -> None:
        """Read certificate and key anew, for new connections.

        Raises:
            CertificateError: a file cannot be used; then nothing has changed.
        """
        self._access.reload()

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        birth: int,
        task_status: trio.TaskStatus[Node],
    ) -> None:
        """Serve `listeners` until `request_drain` or a `failure`, then stop in order.

        `birth` is when the store was made: another store is another, empty member.
        """
        self.address = self._world.network.bound(listeners, self._settings.node.listen)
        async with trio.open_nursery() as reporting:
            await reporting.start(self._peers.send_reports)
            async with trio.open_nursery() as working:
                await working.start(self._server.serve, self._access.guard(listeners))
                await working.start(self._ring.run)
                self._rounds = working
                await working.start(self._cluster.run, birth)
                working.start_soon(fill_digests, self._shards)
                working.start_soon(self._watch_store)
                working.start_soon(self._watch_membership)
                if self._schedule is not None:
                    working.start_soon(self._run_schedule, self._schedule)
                self._become("ready")
                self._health.set("", ServingStatus.SERVING)
                task_status.started(self)
                await self._stopping.wait()
                ends_by = trio.current_time() + DRAIN_SECONDS - DRAIN_CLOSE_SECONDS
                await self._stop()
                working.cancel_scope.cancel()
            # What the holders here had to give up is still told to its origins.
            self._peers.stop_reports()
            reporting.cancel_scope.deadline = ends_by
        self._log.info("stopped")

    async def _stop(self) -> None:
        """No new work; what runs gets a grace period."""
        self._become("unhealthy" if self.failure else "draining")
        self._health.set("", ServingStatus.NOT_SERVING)
        self._rounds = None
        self._cluster.exchange.stop()
        async with trio.open_nursery() as stopping:
            stopping.start_soon(self._server.drain, DRAIN_SESSIONS_SECONDS)
            stopping.start_soon(self._ring.drain, DRAIN_SESSIONS_SECONDS)

    async def _watch_store(self) -> None:
        """The store's failure is the node's: it stops, and says why."""
        error = await self._shards.store.wait_failed()
        self.failure = str(error)
        self._log.error("store failed", reason=self.failure)
        self._stopping.set()

    async def _watch_membership(self) -> None:
        """A node that the cluster has forgotten hands over what it has, and stops."""
        await self._cluster.membership.forgotten()
        self._log.warning("forgotten by the cluster: handing over what others may lack")
        await self._cluster.hand_off.handed_over()
        self.failure = (
            f"the cluster has forgotten {self._settings.node.name}: what it held was handed over; start it "
            "with an empty data directory to have it back as a new member"
        )
        self._log.error("stopping", reason=self.failure)
        self._stopping.set()

    # Rounds

    def start_round(self, shard: ShardId, cause: Cause) -> RoundWatch:
        """Start a round for a shard.

        Raises:
            TooManyRoundsError: so many are under way, or the node is stopping.
        """
        if self._rounds is None:
            raise TooManyRoundsError("the node is stopping, and starts no round")
        message, watch = self._origin.open(shard, self._shards.replicas(shard), cause)
        self._rounds.start_soon(self._origin.run, message, self._offer)
        return watch

    async def _offer(self, node: str, message: RoundMessage) -> tuple[str, bool]:
        if node == self._settings.node.name:
            self._ring.offer(message)
            return "", False
        return await self._peers.propagate(node, message)

    async def _run_schedule(self, schedule: Schedule) -> None:
        await run_schedule(
            schedule,
            wall_clock=self._world.wall_clock,
            rng=self._world.rng,
            start=self._start_scheduled,
        )

    def _start_scheduled(self) -> None:
        for shard in self._shards:
            try:
                self.start_round(shard, Cause.SCHEDULED)
            except TooManyRoundsError as error:
                self._log.warning("scheduled round not started", shard=str(shard), reason=str(error))

    def _half_interval(self) -> float:
        if self._schedule is None:
            return 0.0
        return self._schedule.last_interval_seconds(utc(self._world.wall_clock())) / 2

    def _become(self, state: str) -> None:
        self.state = state
        self._log.info(state, address=str(self.address))
