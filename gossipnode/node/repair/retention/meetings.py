"""Meets other replicas before a session: each tells its marks, see `core.retention.meeting`."""

from __future__ import annotations

from typing import NamedTuple

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.marks import NO_MARKS, Marks
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.retention_codec import decode_marks, encode_marks
from gossipnode.wire.wire_errors import WireError

MEETING_ROUNDS_MAX = 3
"""How often two replicas tell each other their marks before they agree. The second time nothing changes."""


MEETING_SECONDS = 60.0
"""How long the other one may take: it purges first, and may have to give records up."""


class Met(NamedTuple):
    """What came of a meeting."""

    told: Marks = NO_MARKS
    """What the other one told."""
    problem: str = ""
    """Why the two cannot exchange records yet; empty if they can."""


class Meetings:
    """Meets other members."""

    def __init__(self, local: LocalState, members: Members) -> None:
        """Tell what `local` has kept."""
        self._local = local
        self._members = members

    async def meet(self, peer: Peer, shard: ShardId) -> Met:
        """Meet a replica until both have the same marks.

        Raises:
            StoreError: what follows from it was not kept.
            OSError: what this node gives up cannot be put into quarantine.
        """
        retention = self._local.retention
        met = Met(problem="the marks of the two keep changing")
        for _ in range(MEETING_ROUNDS_MAX):
            own = retention.marks(shard)
            met = await self._ask(peer, shard, own)
            if met.problem:
                return met
            problem = await retention.meet(shard, met.told)
            if problem:
                return met._replace(problem=problem)
            now = retention.marks(shard)
            if now == own and (now.sealed, now.mark) == (met.told.sealed, met.told.mark):
                return met
        return met._replace(problem="the marks of the two keep changing")

    async def _ask(self, peer: Peer, shard: ShardId, own: Marks) -> Met:
        placement = self._local.shards.view.placement(shard)
        request = pb.RetentionRequest(
            group=shard.group,
            shard=shard.shard,
            incarnation=shard.incarnation,
            step=pb.RetentionRequest.STEP_MEET,
            marks=encode_marks(own),
            epoch=self._local.cluster.epoch,
            fence=b"" if placement is None else placement.fence,
        )
        try:
            reply = await peer.channel.unary(
                services.REPLICA_RETENTION,
                request,
                timeout=MEETING_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
            told = decode_marks(reply.marks)
        except RpcError as error:
            peer.failed(error)
            if error.status is Status.UNIMPLEMENTED and own == NO_MARKS:
                # A member of an older version purges nothing.
                self._note(placement, peer)
                return Met()
            return Met(problem=error.message or str(error))
        except WireError as error:
            return Met(problem=str(error))
        if reply.source:
            self._note(placement, peer)
        return Met(told, reply.problem)

    def _note(self, placement: Placement | None, peer: Peer) -> None:
        if placement is not None and peer.name in placement.sources:
            self._local.retention.has_met(placement, peer.name)
