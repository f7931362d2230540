"""A running node: in which order its parts start, and how it stops.

run_node
 |- store            opened first, closed last
 |- members          a channel, and a stream of requests, to each other member
 |- reports          to origins; goes on while the rest stops
 |- endpoint         listeners -> a task per connection -> a task per call
 |- status           metrics, health and the status page, where status_listen is set
 |- holder           a task per shard that holds a message
 |- certificates     what is wrong with them is said again each day
 |- rounds           a task per round that this node started, and the schedule
 |- membership       boot, then hellos, comparing epochs, following the members
 |- hand-off         fill, settle, give up
 |- coordination     requests that outlive their callers, read repair
 `- local            indexes, leaf digests
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
import trio
from msgspec.structs import replace

from gossipnode.concurrency.loop_pulse import LoopPulse
from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import Address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.placement import levels_that_fail
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.node.endpoints.reflection_service import ReflectionService
from gossipnode.node.identity.birth import birth_of
from gossipnode.node.identity.boot_memory import BootMemory
from gossipnode.node.identity.own_boot import open_boot
from gossipnode.node.local.cluster_state import ClusterState, configured_metadata
from gossipnode.node.local.local_state import local_state
from gossipnode.node.local.node_state import NodeState, Phase
from gossipnode.node.membership.as_new import come_as_new
from gossipnode.node.parts import Parts, make_handlers, make_parts
from gossipnode.node.peers.call_metadata import own_metadata, say_start
from gossipnode.node.peers.certificates import Certificates, PeerDialer, tell_in_time
from gossipnode.node.peers.members import open_members
from gossipnode.node.peers.secret import Secret
from gossipnode.node.shown.status_port import StatusPort, open_status_port
from gossipnode.node.world import World
from gossipnode.rpc import Server
from gossipnode.rpc.server.health import HealthService, ServingStatus
from gossipnode.store.interface import LeafDigest
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.property.index_rows import payload_rows

DRAIN_SECONDS = 10.0
"""From `request_drain` to the end. What is still running then is cancelled."""

DRAIN_SESSIONS_SECONDS = 6.0
"""The part of `DRAIN_SECONDS` in which running sessions and calls may finish."""

DRAIN_CLOSE_SECONDS = 1.0
"""The part of `DRAIN_SECONDS` that is kept for closing what is left. The store closes last."""


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
        StoreError: the data directory is in use, damaged, too new, or another node's.
        OSError: the address cannot be listened at.
        StatusListenError: that of status_listen cannot be listened at.
        NodeFailedError: the store failed later on.
    """
    certificates = Certificates(settings.tls)
    memory = MemoryBudget(settings.node.memory_budget)
    secret = Secret.of(settings, world.rng)
    dialer = PeerDialer(world.network, world.rng, certificates, memory, secret)
    metadata = own_metadata(settings.cluster.name, settings.node.name)
    async with world.open_store(settings, _leaf_digest(settings), payload_rows) as store:
        # Listening comes before the nurseries, so that a port in use is an error of its own.
        listeners = await world.network.listen(settings.node.listen)
        boots = BootMemory(store)
        settings = _dialable(settings, world.network.bound(listeners, settings.node.listen))
        async with (
            _closing(listeners),
            open_status_port(world, settings.node.status_listen) as status_port,
            open_members(
                settings.node.name, settings.node.advertise, dialer.open, metadata, boots
            ) as members,
        ):
            if settings.cluster.as_new:
                await come_as_new(settings, store, dialer, metadata, world.rng)
            boot = await open_boot(store, await birth_of(store, world.rng), world.rng)
            cluster = ClusterState(store, settings.node.name, boot, configured_metadata(settings))
            if boot.mark is not None:
                say_start(members.metadata, boot.birth.number, boot.mark.boot)
            await cluster.load()
            await boots.recall()
            local = local_state(
                store, cluster, world.wall_clock, await store.last_stamp(), world.quarantine(settings)
            )
            await local.floors.recall()
            state = NodeState(settings.node.listen)
            parts = make_parts(settings, world, state, memory, local, members, dialer, secret, certificates)
            node = Node(world, parts, status_port)
            await node.run(listeners, task_status)
        if node.failure:
            raise NodeFailedError(node.failure)


def _dialable(settings: Settings, bound: Address) -> Settings:
    """The settings, advertising the port that was taken where any free one was asked for.

    Others are told of this address, and nobody can dial port 0.
    """
    if settings.node.advertise.port:
        return settings
    advertise = settings.node.advertise._replace(port=bound.port)
    return replace(settings, node=replace(settings.node, advertise=advertise))


@asynccontextmanager
async def _closing(listeners: Sequence[trio.abc.Listener[Any]]) -> AsyncGenerator[None]:
    """Close the listeners at the end, in case no server has. Closing twice does no harm."""
    try:
        yield
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


def _leaf_digest(settings: Settings) -> LeafDigest:
    return partial(leaf_digest, spacing=settings.repair.leaf_json)


class Node:
    """The handle of a running node, and the parts that it is made of."""

    def __init__(self, world: World, parts: Parts, status_port: StatusPort | None) -> None:
        """Serve by `parts`. Nothing runs before `run`."""
        self.parts = parts
        """What the node is made of. For tests and simulations; a program has no need of it."""
        self._world = world
        self._settings = parts.settings
        self._state = parts.state
        self._log = structlog.get_logger("gossipnode.node").bind(node=parts.local.own_name)
        self._health = HealthService({"": ServingStatus.NOT_SERVING})
        handlers: dict[Any, Any] = {**self._health.handlers(), **make_handlers(parts, world)}
        self._health.follow(handlers)
        handlers |= ReflectionService(handlers).handlers()
        self._pulse = LoopPulse(world.sleep_until)
        self._server = Server(
            handlers,
            authorize=parts.access.authorize,
            is_member=parts.access.names_member,
            memory=parts.memory,
            waited=self._pulse.stalled_seconds,
            observe=None if status_port is None else status_port.call_ended,
        )
        self._status_port = status_port

    @property
    def address(self) -> Address:
        """Where the node listens, once it does."""
        return self._state.address

    @property
    def state(self) -> Phase:
        """starting, ready, draining or unhealthy."""
        return self._state.phase

    @property
    def failure(self) -> str:
        """Why the node had to stop; empty when it did not have to."""
        return self._state.failure

    def request_drain(self) -> None:
        """Let the node stop in order; `run_node` returns once it has."""
        self._state.stopping.set()

    def reload_certificates(self) -> None:
        """Read the files of `[tls]` again, for new connections, and say so in the log.

        Raises:
            CertificateError: a file cannot be used; then nothing has changed.
        """
        said = self.parts.certificates.reload()
        if not said:
            self._log.info("no certificates to read again: [tls] is not set")
            return
        self._log.info("certificates read again", **said)
        self._say_certificates()

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        task_status: trio.TaskStatus[Node],
    ) -> None:
        """Serve `listeners` until `request_drain` or a `failure`, then stop in order."""
        self._state.address = self._world.network.bound(listeners, self._settings.node.listen)
        repair = self.parts.repair
        async with trio.open_nursery() as reporting:
            await reporting.start(repair.reports.run)
            async with trio.open_nursery() as working:
                working.start_soon(self._pulse.run)
                if self._status_port is not None:
                    # Before anything that may wait: it says what the node waits for.
                    await working.start(
                        self._status_port.serve, self.parts, lambda: self._server.connection_count
                    )
                await working.start(self._server.serve, self.parts.certificates.guard(listeners))
                await working.start(repair.holder.run)
                await working.start(repair.rounds.run)
                await working.start(self.parts.run)
                working.start_soon(repair.rounds.follow_schedule)
                working.start_soon(repair.catch_up.run)
                working.start_soon(repair.mender.run)
                working.start_soon(repair.purges.run)
                working.start_soon(self._watch_store)
                working.start_soon(self._watch_membership)
                self._become("ready")
                self._say_short_groups()
                for warning in self.parts.access.warnings():
                    self._log.warning(warning)
                self._health.set("", ServingStatus.SERVING)
                self._say_disk()
                working.start_soon(self._watch_disk)
                if self.parts.certificates.encrypted:
                    working.start_soon(tell_in_time, self._say_certificates, self._certificates_next)
                task_status.started(self)
                await self._state.stopping.wait()
                ends_by = trio.current_time() + DRAIN_SECONDS - DRAIN_CLOSE_SECONDS
                await self._stop()
                working.cancel_scope.cancel()
            # Origins are still told what the holders here had to give up.
            repair.reports.stop()
            reporting.cancel_scope.deadline = ends_by
        self._log.info("stopped")

    async def _stop(self) -> None:
        """Take no new work, and give what runs a grace period."""
        self._become("unhealthy" if self.failure else "draining")
        self._health.set("", ServingStatus.NOT_SERVING)
        self.parts.repair.rounds.stop()
        self.parts.exchange.stop()
        async with trio.open_nursery() as stopping:
            stopping.start_soon(self._server.drain, DRAIN_SESSIONS_SECONDS)
            stopping.start_soon(self.parts.repair.holder.drain, DRAIN_SESSIONS_SECONDS)

    async def _watch_store(self) -> None:
        """Stop the node when its store fails, and say why."""
        error = await self.parts.local.store.wait_failed()
        self._state.failure = str(error)
        self._log.error("store failed", reason=self.failure)
        self.request_drain()

    async def _watch_disk(self) -> None:
        """Follow the disk: while it is full, the node is unhealthy."""
        while True:
            changed = self.parts.local.store.disk_changed.pending
            self._say_disk()
            await changed.wait()

    def _say_disk(self) -> None:
        """Say in the log, in the status and by the health service that the disk became full, or has room."""
        disk = self.parts.local.store.disk
        phase: Phase = "unhealthy" if disk.full else "ready"
        if phase == self._state.phase or self._state.stopping.is_set():
            return
        self._state.phase = phase
        self._health.set("", ServingStatus.NOT_SERVING if disk.full else ServingStatus.SERVING)
        if disk.full:
            self._log.error("disk full: writes are refused, reads go on", free_bytes=disk.free_bytes)
        else:
            self._log.warning("disk has room again: writes are taken", free_bytes=disk.free_bytes)

    def _certificates_next(self) -> float:
        """In how many seconds there is something to say of the certificates again."""
        now_seconds = self._world.wall_clock() / NANOSECONDS_PER_SECOND
        return self.parts.certificates.seconds_to_next_word(now_seconds)

    def _say_certificates(self) -> None:
        for warning in self.parts.access.certificate_warnings():
            self._log.warning(warning)

    def _say_short_groups(self) -> None:
        """Say once which groups of the configuration have more replicas than there are members."""
        view = self.parts.local.cluster.view
        for name in self._settings.groups:
            group, members = view.groups.get(name), len(view.members)
            if group is not None and group.replicas > members:
                self._log.warning(
                    "fewer members than replicas",
                    group=name,
                    replicas=group.replicas,
                    members=members,
                    until_then=levels_that_fail(group.replicas, members),
                )

    async def _watch_membership(self) -> None:
        """A node that the cluster does not have as a member, or not any more, stops."""
        self._state.failure = await self.parts.membership.members.no_longer()
        self._log.error("stopping", reason=self.failure)
        self.request_drain()

    def _become(self, phase: Phase) -> None:
        self._state.phase = phase
        self._log.info(phase, address=str(self.address))
