"""Waits until every replica has a record, and says which ones lag if they take too long."""

from __future__ import annotations

import math
from typing import NamedTuple

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.property import Entity, Record, ShardId, check_entity
from gossipnode.core.model.version import Version
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.watch.version_probes import VersionProbes
from gossipnode.rpc import RpcError
from gossipnode.store.interface import StoreError

WAIT_MAX_SECONDS = 3600.0
"""The longest wait. A client that wants to wait longer asks again."""

FIRST_LOOK_SECONDS = 0.25
"""How long all replicas are waited for before a quorum of them is asked what it has."""

PAUSE_MIN_SECONDS = 0.004
PAUSE_MAX_SECONDS = 0.5
"""The pause before a replica that lags is asked again; it doubles each time."""


class Lagging(NamedTuple):
    """A replica that does not have the record, as far as is known."""

    node: str
    why: str


class WaitResult(NamedTuple):
    """What came of a wait."""

    revision: int
    """What was waited for: a revision, or the time of a delete."""
    applied: tuple[str, ...]
    """In ring order."""
    lagging: tuple[Lagging, ...]


class Barrier:
    """Waits for replicas."""

    def __init__(self, local: LocalState, members: Members, steps: RecordSteps) -> None:
        """Ask the replicas among `members`; what a quorum has is read by `steps` where they do not agree."""
        self._local = local
        self._members = members
        self._steps = steps
        self._probes = VersionProbes(local)

    async def wait(self, entity: Entity, revision: int, seconds: float) -> WaitResult | None:
        """Wait until each replica has a record of at least this revision, `seconds` at most.

        With revision 0 it waits for what a quorum has now. None if there is no such record, deleted or not.

        Raises:
            UnknownGroupError, InvalidEntityError, TooFewReplicasError.
        """
        check_entity(entity)
        shard = self._local.shards.shard_of(entity)
        agreed = 0
        began = trio.current_time()
        with trio.move_on_after(min(max(seconds, 0.0) / 2, FIRST_LOOK_SECONDS)):
            agreed = await self._agreed(shard, entity)
        if agreed >= max(revision, 1):
            return WaitResult(revision or agreed, self._local.shards.replicas(shard), ())
        if not revision:
            newest = await self._newest(entity)
            if newest is None:
                return None
            revision = newest.version.stamp
            began = trio.current_time()
        lagging: dict[str, str] = {}
        applied: set[str] = set()

        async def follow(name: str) -> None:
            pause = PAUSE_MIN_SECONDS
            while why := await self._lag(name, shard, entity, revision):
                lagging[name] = why
                await trio.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_SECONDS)
            lagging.pop(name, None)
            applied.add(name)

        replicas = self._local.shards.replicas(shard)
        deadline = began + min(max(seconds, 0.0), WAIT_MAX_SECONDS)
        with one_error(), trio.move_on_at(deadline):
            async with trio.open_nursery() as nursery:
                for name in replicas:
                    nursery.start_soon(follow, name)
        return WaitResult(
            revision,
            tuple(name for name in replicas if name in applied),
            tuple(
                Lagging(name, lagging.get(name, "it has not answered yet"))
                for name in replicas
                if name not in applied
            ),
        )

    async def _newest(self, entity: Entity) -> Record | None:
        async def read(placement: Placement) -> Record | None:
            (record,), _ = await self._steps.reads.read(placement, (entity,), AckLevel.QUORUM)
            return record

        return await self._steps.in_one_view(entity, read)

    async def _agreed(self, shard: ShardId, entity: Entity) -> int:
        """The stamp of the record, if every replica holds the same version now; 0 otherwise.

        All are asked at once, by the task that waits: most waits are over with that.
        """
        shards = self._local.shards
        others = [self._members.peers.get(name) for name in shards.replicas(shard) if name != shards.own_name]
        if any(peer is None or peer.foreign for peer in others):
            return 0
        known: Version | None = None
        try:
            if shards.holds(shard):
                counts = shards.cleared and not self._local.retention.why_not_served(shard)
                known = await self._own(shard, entity) if counts else None
                if known is None:
                    return 0
            asked = [self._probes.start(peer, shard, entity, known) for peer in others if peer is not None]
            versions = [await probe.result() for probe in asked]
        except (RpcError, StoreError):
            return 0
        newest = known or next(iter(versions), None)
        agree = newest is not None and all(version == newest for version in versions)
        return newest.stamp if newest is not None and agree else 0

    async def _own(self, shard: ShardId, entity: Entity) -> Version | None:
        (held,) = await self._local.store.read(shard, [entity])
        return None if held is None else held.version

    async def _lag(self, name: str, shard: ShardId, entity: Entity, revision: int) -> str:
        """Why a replica does not have the record yet; empty once it has it."""
        try:
            if name == self._local.own_name:
                held = await self._own(shard, entity)
            else:
                peer = self._members.peers.get(name)
                if peer is None:
                    return "it is no member"
                if peer.foreign:
                    return "it cannot be asked: another system"
                held = await self._probes.start(peer, shard, entity, None).result()
        except (RpcError, StoreError) as error:
            return str(error)
        if held is None:
            return "it holds no version"
        lacks = revision - held.stamp
        return f"it holds {held.stamp}, which is {_age(lacks)} older" if lacks > 0 else ""


def _age(nanoseconds: int) -> str:
    """A difference of stamps, in words."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"
