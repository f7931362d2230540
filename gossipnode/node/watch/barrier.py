"""Waits until every replica has a record, and says which ones lag if they take too long."""

from __future__ import annotations

import math
from typing import NamedTuple

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.property import Entity, Record, ShardId, check_entity
from gossipnode.core.query.replica_messages import Held, ReadRecords, RecordsRead, Wanted
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members
from gossipnode.rpc import RpcError
from gossipnode.store.interface import StoreError

WAIT_MAX_SECONDS = 3600.0
"""The longest wait. A client that wants to wait longer asks again."""

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
        """Ask the replicas among `members`; what a quorum has is read by `steps`."""
        self._local = local
        self._members = members
        self._steps = steps

    async def wait(self, entity: Entity, revision: int, seconds: float) -> WaitResult | None:
        """Wait until each replica has a record of at least this revision, `seconds` at most.

        With revision 0 it waits for what a quorum has now. None if there is no such record, deleted or not.

        Raises:
            UnknownGroupError, InvalidEntityError, TooFewReplicasError.
        """
        check_entity(entity)
        shard = self._local.shards.shard_of(entity)
        if not revision:
            newest = await self._newest(entity)
            if newest is None:
                return None
            revision = newest.version.stamp
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
        with one_error(), trio.move_on_after(min(max(seconds, 0.0), WAIT_MAX_SECONDS)):
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

    async def _lag(self, name: str, shard: ShardId, entity: Entity, revision: int) -> str:
        """Why a replica does not have the record yet; empty once it has it."""
        placement = self._local.shards.placement(shard)
        request = ReadRecords(shard, placement.fence, (Wanted(entity),))
        try:
            if name == self._local.own_name:
                held: Held = (await self._local.store.read(shard, [entity]))[0]
            else:
                peer = self._members.peers.get(name)
                if peer is None:
                    return "it is no member"
                if peer.foreign:
                    return "it cannot be asked: another system"
                reply = await peer.link.ask(request, timeout=REPLICA_SECONDS)
                assert isinstance(reply, RecordsRead)
                (held,) = reply.held
        except (RpcError, StoreError) as error:
            return str(error)
        if not isinstance(held, Record):
            return "it holds no version"
        lacks = revision - held.version.stamp
        return f"it holds {held.version.stamp}, which is {_age(lacks)} older" if lacks > 0 else ""


def _age(nanoseconds: int) -> str:
    """A difference of stamps, in words."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"
