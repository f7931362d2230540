"""Purge rounds: they prove up to which stamp all replicas of a shard hold the same. Then tombstones may go.

A round that was scheduled or asked for is followed by one, if that would free a tombstone. Whatever is in the
way holds the mark where it is, and is said in the status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, NamedTuple, TypeAlias

import structlog
import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.purge_round import (
    SealAnswer,
    held_back_by,
    seal_of,
    why_not_now,
    why_not_proven,
)
from gossipnode.core.ring.round import Round, RoundOutcome
from gossipnode.core.ring.turn import Cause
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import TooManyRoundsError
from gossipnode.node.repair.origin import RoundWatch
from gossipnode.rpc import RpcError
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.retention_codec import decode_seal_answer

PURGE_QUEUE_SHARDS = 16_384
"""Shards that wait for a purge round. One beyond has its turn after the next round of the schedule."""

RAISE_SECONDS = 60.0
"""How long a replica may take to purge before it is left alone: it goes on when it meets another one."""

_SEAL = pb.RetentionRequest.STEP_SEAL
_PROVEN = pb.RetentionRequest.STEP_PROVEN
_RAISE = pb.RetentionRequest.STEP_RAISE

StartRound = Callable[[ShardId, Cause], RoundWatch]

Obstacle: TypeAlias = Literal["foreign", "moving", "seal", "round", "keep", "store", "internal"]
"""A foreign member, a move, or the step of a purge round that failed: at a member, or in this node."""


class HeldBack(NamedTuple):
    """What kept a mark where it is."""

    obstacle: Obstacle
    by: str
    """The same in words, with those at whom it failed."""


class PurgeRounds:
    """Makes the purge rounds of this node, one after the other, while `run` runs."""

    def __init__(self, local: LocalState, members: Members, prove_by: StartRound) -> None:
        """Ask `members` to seal, and have `prove_by` start the rounds that prove."""
        self._local = local
        self._members = members
        self._prove_by = prove_by
        self._in, self._out = trio.open_memory_channel[ShardId](PURGE_QUEUE_SHARDS)
        self._due: set[ShardId] = set()
        self._held_back: dict[ShardId, tuple[HeldBack, int]] = {}
        """With the mark as it was then: if it has risen since, another node has raised it."""
        self._log = structlog.get_logger("gossipnode.retention")

    def held_back_by(self, shard: ShardId) -> str:
        """What kept a mark where it is when this node last tried to raise it; empty for nothing."""
        held_back = self.held_back(shard)
        return "" if held_back is None else held_back.by

    def held_back(self, shard: ShardId) -> HeldBack | None:
        """The same with its kind; None for nothing."""
        held_back, mark = self._held_back.get(shard, (None, 0))
        return held_back if self._local.retention.marks(shard).mark <= mark else None

    def ended(self, finished: Round, cause: Cause) -> None:
        """A round of this node is over: it may be followed by a purge round.

        One that left somebody out is, too: then the purge round finds out who holds the mark where it is.
        """
        if cause is Cause.EVENT or finished.outcome is RoundOutcome.NOT_NEEDED:
            return
        if finished.shard not in self._due:
            try:
                self._in.send_nowait(finished.shard)
            except trio.WouldBlock:
                return
            self._due.add(finished.shard)

    async def run(self) -> None:
        """Make the rounds, until cancelled."""
        async for shard in self._out:
            self._due.discard(shard)
            try:
                held_back = await self._purge(shard)
            except StoreError as error:
                held_back = HeldBack("store", f"own store: {error}")
            except Exception:  # noqa: BLE001 - a defect, logged with its traceback; the mark stays
                self._log.exception("purge round failed", shard=str(shard))
                held_back = HeldBack("internal", "internal")
            if held_back is not None:
                self._log.info("mark held back", shard=str(shard), reason=held_back.by)
                self._held_back[shard] = held_back, self._local.retention.marks(shard).mark
            else:
                self._held_back.pop(shard, None)

    async def _purge(self, shard: ShardId) -> HeldBack | None:
        """Raise the mark of a shard, if that frees a tombstone; gives what holds it back, or None."""
        local, view = self._local, self._local.shards.view
        placement, group = view.placement(shard), view.groups.get(shard.group)
        if placement is None or group is None or local.own_name not in placement.holders:
            return None
        stamp = seal_of(local.clock.now(), group.tombstone_retention_seconds)
        if not await local.store.retention.tombstones(shard, stamp, limit=1):
            return None
        foreign = view.metadata.foreign_of(shard)
        problem = why_not_now(placement, foreign)
        if problem:
            return HeldBack("foreign" if foreign else "moving", problem)
        members = list(view.members)
        # This node comes last: if its clock is wrong, the others say so, and it has sealed nothing.
        others = [name for name in members if name != local.own_name]
        sealed = await self._ask_all(others, lambda name: self._step(name, shard, _SEAL, stamp))
        problem = held_back_by(sealed, others)
        if problem:
            return HeldBack("seal", problem)
        sealed[local.own_name] = await self._step(local.own_name, shard, _SEAL, stamp)
        problem = held_back_by(sealed, members)
        if problem:
            return HeldBack("seal", problem)
        finished = await self._prove(shard)
        problem = why_not_proven(finished.hops, placement.holders) if finished else "too many rounds"
        if problem:
            return HeldBack("round", problem)
        kept = await self._ask_all(
            members, lambda name: self._step(name, shard, _PROVEN, stamp, sealed[name])
        )
        problem = held_back_by(kept, members)
        if problem:
            return HeldBack("keep", problem)
        self._log.info("mark raised", shard=str(shard), mark=stamp)
        # Every replica has kept that it is complete. Those that are not told now learn it from the others.
        await self._ask_all(placement.holders, lambda name: self._step(name, shard, _RAISE, stamp))
        return None

    async def _prove(self, shard: ShardId) -> Round | None:
        """A round that begins after everybody has sealed."""
        try:
            watch = self._prove_by(shard, Cause.EVENT)
        except TooManyRoundsError:
            return None
        while True:
            changed, now = watch.changed.pending, watch.now()
            if now.outcome is not None:
                return now
            await changed.wait()

    async def _ask_all(
        self, members: Iterable[str], ask: Callable[[str], Awaitable[SealAnswer]]
    ) -> dict[str, SealAnswer]:
        answers: dict[str, SealAnswer] = {}

        async def take(name: str) -> None:
            answers[name] = await ask(name)

        with one_error():
            async with trio.open_nursery() as nursery:
                for name in members:
                    nursery.start_soon(take, name)
        return answers

    async def _step(
        self,
        name: str,
        shard: ShardId,
        step: pb.RetentionRequest.Step,
        stamp: int,
        sealed: SealAnswer | None = None,
    ) -> SealAnswer:
        """Have a member do a step; what goes wrong becomes its answer."""
        epoch = self._local.cluster.epoch
        if name == self._local.own_name:
            return await self._step_here(shard, step, stamp, epoch, sealed)
        peer = self._members.peers.get(name)
        if peer is None:
            return SealAnswer(0, 0, problem="no member")
        request = pb.RetentionRequest(
            group=shard.group,
            shard=shard.shard,
            incarnation=shard.incarnation,
            step=step,
            stamp=stamp,
            epoch=epoch,
        )
        if sealed is not None:
            request.start.boot, request.start.nonce, request.start.late = sealed.start
        try:
            reply = await peer.channel.unary(
                services.REPLICA_RETENTION,
                request,
                timeout=RAISE_SECONDS if step == _RAISE else REPLICA_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError as error:
            peer.failed(error)
            return SealAnswer(0, 0, problem=error.message or str(error))
        return decode_seal_answer(reply)

    async def _step_here(
        self,
        shard: ShardId,
        step: pb.RetentionRequest.Step,
        stamp: int,
        epoch: int,
        sealed: SealAnswer | None,
    ) -> SealAnswer:
        retention = self._local.retention
        if step == _SEAL:
            return await retention.seal(shard, stamp, epoch)
        if step == _PROVEN and sealed is not None:
            return await retention.proven(shard, stamp, epoch, sealed.start)
        return SealAnswer(0, 0, problem=await retention.raise_mark(shard, stamp))
