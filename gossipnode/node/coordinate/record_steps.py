"""The steps of which requests are made: read records of a shard from enough replicas, write them to enough.

Every step takes place in one view of the cluster, see `in_one_view`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from gossipnode.concurrency.shares import Caller
from gossipnode.core.cluster.placement import AckLevel, Placement
from gossipnode.core.model.arrival import Arrival, Through
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.query.replica_messages import (
    WriteRecords,
)
from gossipnode.core.query.request_lineage import Lineage
from gossipnode.core.query.write_answers import WriteAnswers
from gossipnode.node.coordinate.entity_locks import EntityLocks
from gossipnode.node.coordinate.large_writes import OWN_WORK, LargeWrites
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.coordinate.record_reads import RecordReads
from gossipnode.node.coordinate.replica_calls import ReplicaCalls
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.refusals.request_checks import ack_level, not_a_replica
from gossipnode.node.refusals.request_errors import (
    NotStoredError,
    OtherViewError,
    TooFewReplicasError,
    UnknownGroupError,
)
from gossipnode.wire.property.draft import Draft, draft_of

APPLY_ATTEMPTS = 8
"""How often a write is tried when newer versions keep overtaking it."""

COMPARE_SECONDS = 2.0
"""How long a request waits for epochs to be compared with one member, before it turns to another one."""

COMPARE_AVOIDED_SECONDS = 30.0
"""How long a member that let that pass is turned to last."""

COMPARED_MEMBERS_MAX = 3
"""Members that a request turns to at most."""

FORMING_PATIENCE_SECONDS = 5.0
"""How long a request waits for the cluster to be formed."""

VIEW_ATTEMPTS = 5
"""How often a request is tried when replicas see other members than we do."""

Result = TypeVar("Result")


class RecordSteps:
    """Reads and writes records through the replicas of their shard."""

    def __init__(
        self,
        local: LocalState,
        replicas: ReplicaCalls,
        repair: ReadRepair,
        news: EpochNews,
        rng: random.Random | None = None,
    ) -> None:
        """Ask `replicas`; compare by `news` when one of them sees other members than we do.

        `rng` spreads the tries of writes that meet other writes; without it the system's randomness does.
        """
        self.shards = local.shards
        self._cluster = local.cluster
        self._clock = local.clock
        self.locks = EntityLocks()
        self.reads = RecordReads(local, replicas, repair, rng or random.SystemRandom())
        self.replicas = replicas
        self._large = LargeWrites()
        self._avoided_until: dict[str, float] = {}
        self._news = news

    async def level(self, group: str, asked: str) -> AckLevel:
        """The acknowledgement level of a request: what it asks for, or else what its group says.

        Before the cluster is formed, a request at another level than local waits for that, as long as
        `FORMING_PATIENCE_SECONDS`.

        Raises:
            UnknownGroupError: there is no such group.
            UnknownLevelError: names the levels that there are.
            NotFormedError: there is no cluster yet.
        """
        level = ack_level(asked) if asked else None
        if level is AckLevel.LOCAL:
            return level
        await self._cluster.wait_formed(FORMING_PATIENCE_SECONDS)
        if level is not None:
            return level
        known = self.shards.view.groups.get(group)
        if known is None:
            raise UnknownGroupError(group, self.shards.view.groups)
        return known.ack

    async def in_one_view(self, entity: Entity, attempt: Callable[[Placement], Awaitable[Result]]) -> Result:
        """Make an attempt with the placement of an entity's shard.

        When a replica sees other members than we do, compare epochs with it and start over.
        """
        for _ in range(VIEW_ATTEMPTS - 1):
            try:
                return await attempt(self.shards.placement(self.shards.shard_of(entity)))
            except OtherViewError as error:
                await self.compare_views(error.peer)
        return await attempt(self.shards.placement(self.shards.shard_of(entity)))

    async def compare_views(self, peer: str) -> None:
        """Compare epochs with a peer that sees other members than we do.

        A peer that hangs must not keep the request, and the locks that it holds, waiting. Then any member
        that is up will do: all of them are told of a change.
        """
        names = [peer, *(name for name in self._news.members_up() if name != peer)]
        names.sort(key=lambda name: self._avoided_until.get(name, 0.0) > trio.current_time())
        for name in names[:COMPARED_MEMBERS_MAX]:
            with trio.move_on_after(COMPARE_SECONDS):
                if await self._news.compare(name):
                    self._avoided_until.pop(name, None)
                    return
            # The request that starts over, and others, would wait for it again.
            self._avoided_until[name] = trio.current_time() + COMPARE_AVOIDED_SECONDS

    async def write(
        self,
        placement: Placement,
        records: Sequence[Record],
        level: AckLevel,
        answers: WriteAnswers,
        *,
        request_id: str = "",
        created: bool = False,
        before: Lineage | None = None,
        through: Through = Through.CLIENT,
        caller: Caller = OWN_WORK,
        copies: bool = False,
    ) -> int | None:
        """Write records of a shard; gives how many replicas have them, None if one was overtaken.

        Args:
            placement: the shard and its replicas, in the view of this try.
            records: as many as one request may hold.
            level: how many replicas must take them.
            answers: judges what the replicas say.
            request_id: that of the client's request, which writes one record.
            created: what the client is told when the same request comes again.
            before: the requests that the version includes which this one is built upon, if it is known.
            through: what the records come through.
            caller: whose write it is. If it is large it waits for its turn, as long as its caller does.
            copies: whether the records are what a replica was seen to hold.
        """
        arrival = Arrival(through, self.shards.own_name)
        what = tuple(records), request_id, created, before, arrival, copies
        request = WriteRecords(placement.shard, placement.fence, *what)
        async with self._large.turn(caller, sum(len(record.payload) for record in records)):
            if level is AckLevel.LOCAL:
                return await self._write_here(placement, request, answers)
            try:
                tally = await self.replicas.ask(placement, level, request, answers.take, verb="took it")
            except TooFewReplicasError:
                if answers.overtaken:
                    self._clock.saw(answers.newest_stamp)
                    return None
                raise
            self._clock.saw(answers.newest_stamp)
            # A newer version that a replica has may be one that failed: it must not come back over ours.
            return None if answers.overtaken else tally.acknowledged

    async def _write_here(
        self, placement: Placement, request: WriteRecords, answers: WriteAnswers
    ) -> int | None:
        if self.shards.own_name not in placement.holders:
            raise not_a_replica(placement)
        (reply,) = await self.replicas.own.write([request], local=True)
        reason = answers.take(self.shards.own_name, reply)
        if reason and not answers.overtaken:
            raise NotStoredError(reason)
        return None if reason else 1

    def stamped(self, draft: Draft, existing: Record | None, stamp: int, *, created: bool) -> Record:
        """A fresh version with a stamp that was taken, or a larger one over a record from the far future."""
        stamp = _above(existing, stamp)
        born = stamp if created or existing is None else draft_of(existing).create_revision
        upon = 0 if existing is None else existing.version.stamp
        return draft.stamped(create_revision=born, mod_revision=stamp, updated_at_ns=stamp, built_upon=upon)

    def tombstone(self, existing: Record, stamp: int) -> Record:
        """The tombstone of a record, without its tags: nobody reads them, and every replica keeps them."""
        stamp = _above(existing, stamp)
        draft = draft_of(existing).without_tags()
        return draft.stamped(
            create_revision=draft.create_revision,
            mod_revision=stamp,
            delete_time=stamp,
            built_upon=existing.version.stamp,
        )


def _above(existing: Record | None, stamp: int) -> int:
    return stamp if existing is None else max(stamp, existing.version.stamp + 1)
