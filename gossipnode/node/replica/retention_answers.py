"""This node as a replica that others meet, and that takes part in their purge rounds."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.purge_round import SealAnswer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.refusals.error_status import as_status
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.retention_codec import decode_marks, encode_marks, encode_seal_answer
from gossipnode.wire.replica.stamp_codec import decode_stamp


class RetentionAnswers:
    """Answers the steps of other members."""

    def __init__(self, local: LocalState) -> None:
        """Answer from `local`."""
        self._local = local
        self._retention = local.retention

    async def serve(self, request: pb.RetentionRequest, call: CallContext) -> pb.RetentionReply:
        """Do a step, or say why not.

        Raises:
            RpcError: the request makes no sense, or what follows from it could not be kept.
        """
        shard = ShardId(request.group, request.shard, request.incarnation)
        with as_status():
            stamp = decode_stamp("RetentionRequest.stamp", request.stamp)
            match request.step:
                case pb.RetentionRequest.STEP_MEET:
                    caller = call_metadata.text(call.metadata, call_metadata.NODE)
                    return await self._meet(shard, request, caller)
                case pb.RetentionRequest.STEP_SEAL:
                    return encode_seal_answer(await self._retention.seal(shard, stamp, request.epoch))
                case pb.RetentionRequest.STEP_PROVEN:
                    start = request.start.boot, request.start.nonce, request.start.late
                    answer = await self._retention.proven(shard, stamp, request.epoch, start)
                    return encode_seal_answer(answer)
                case pb.RetentionRequest.STEP_RAISE:
                    problem = await self._retention.raise_mark(shard, stamp)
                    return encode_seal_answer(SealAnswer(0, 0, problem=problem))
                case _:
                    raise RpcError(Status.INVALID_ARGUMENT, f"RetentionRequest.step: {request.step}")

    async def _meet(self, shard: ShardId, request: pb.RetentionRequest, caller: str) -> pb.RetentionReply:
        placement = self._local.shards.view.placement(shard)
        if not self._local.shards.cleared or placement is None:
            return pb.RetentionReply(problem="it does not know the shard, or its store does not count yet")
        told = decode_marks(request.marks)
        # Ours as they are before the meeting, so that both sides judge by the same.
        before = self._retention.marks(shard)
        problem = await self._retention.meet(shard, told)
        same_view = request.fence == placement.fence
        if same_view and caller in placement.sources and not told.is_stale:
            self._retention.has_met(placement, caller)
        return pb.RetentionReply(
            marks=encode_marks(before),
            problem=problem,
            source=same_view and self._local.own_name in placement.sources and not before.is_stale,
        )
