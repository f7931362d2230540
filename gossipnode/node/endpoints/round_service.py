"""RoundService: what holders report to the origin of a round, and what that tells the replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers import call_metadata
from gossipnode.node.repair.repair import Repair
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.round_codec import (
    decode_alive,
    decode_foreign_turn,
    decode_report,
    encode_foreign_known,
)


class RoundService:
    """Serves holders of rounds that this node started, and origins of other rounds."""

    def __init__(self, shards: ShardMap, repair: Repair) -> None:
        """Hand reports to the origin of `repair`, and what is told of rounds of others to all of it."""
        self._shards = shards
        self._repair = repair
        self._origin = repair.origin

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.REPORT: self.report,
            services.ALIVE: self.alive,
            services.ROUND_ENDED: self.ended,
            services.FOREIGN_TURN: self.foreign_turn,
        }

    async def report(self, request: v1.ReportRequest, call: CallContext) -> v1.ReportResponse:
        """Take what a holder reports of a round that we started. A caller may report only as itself.

        Under TLS the caller's name was checked against its certificate before.
        """
        _check_caller(request.holder, call)
        try:
            self._origin.report(decode_report(request))
        except ValueError as error:
            raise RpcError(Status.INVALID_ARGUMENT, f"report: {error}") from error
        return v1.ReportResponse()

    async def alive(self, request: v1.AliveRequest, call: CallContext) -> v1.AliveResponse:
        """Take one sign of life for all our rounds whose messages the caller has."""
        _check_caller(request.holder, call)
        loop = LoopSteps()
        for sign in decode_alive(request):
            self._origin.report(sign)
            await loop.step()
        return v1.AliveResponse()

    async def ended(self, request: v1.RoundEndedRequest, call: CallContext) -> v1.RoundEndedResponse:
        """A round of the caller has left all replicas of a shard equal, ours among them.

        A caller may tell of its own rounds only, and as a replica of the shard.
        """
        origin = call_metadata.text(call.metadata, call_metadata.NODE)
        shard = self._shards.current(ShardId(request.group, request.shard))
        if shard is None or origin not in self._shards.replicas(shard):
            raise RpcError(
                Status.FAILED_PRECONDITION,
                f"{origin[:80]!r} and this node are not both replicas of the shard",
            )
        self._repair.ended_well(shard, origin)
        return v1.RoundEndedResponse()

    async def foreign_turn(self, request: v1.ForeignTurnRequest, call: CallContext) -> v1.ForeignTurnResponse:
        """Look out for the session of a foreign holder, or say what became of it."""
        shard = self._shards.current(ShardId(request.group, request.shard))
        if shard is None or call_metadata.text(call.metadata, call_metadata.NODE) not in self._shards.ring(
            shard
        ):
            raise RpcError(Status.FAILED_PRECONDITION, "the caller and this node are not in one ring")
        try:
            turn = decode_foreign_turn(request, shard)
        except ValueError as error:
            raise RpcError(Status.INVALID_ARGUMENT, f"foreign turn: {error}") from error
        if request.wait:
            return encode_foreign_known(await self._repair.witness.outcome(turn))
        self._repair.witness.expect(turn)
        return v1.ForeignTurnResponse()


def _check_caller(holder: str, call: CallContext) -> None:
    if holder != call_metadata.text(call.metadata, call_metadata.NODE):
        raise RpcError(Status.PERMISSION_DENIED, "report: its holder is not the caller")
