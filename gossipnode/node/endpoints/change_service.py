"""ChangeService: what becomes of records, for clients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import trio

from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import Entity
from gossipnode.core.watch.explanation import winner_of
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.watch.barrier import Barrier
from gossipnode.node.watch.replica_versions import ReplicaVersions
from gossipnode.node.watch.watches import Watches
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import watch_pb2 as pb
from gossipnode.wire.query.criteria_codec import decode_criteria
from gossipnode.wire.watch_codec import WatchAnswer, encode_explanation

WATCH_STALLED_SECONDS = 60.0
"""How long a watch may read nothing before it is ended."""


class ChangeService:
    """Serves watches, waits and explanations."""

    def __init__(
        self, shards: ShardMap, watches: Watches, barrier: Barrier, versions: ReplicaVersions
    ) -> None:
        """Answer from these parts of the node."""
        self._shards = shards
        self._watches = watches
        self._barrier = barrier
        self._versions = versions

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.WATCH: self.watch,
            services.WAIT: self.wait,
            services.EXPLAIN: self.explain,
        }

    async def watch(self, stream: ServerStream[v1.WatchRequest, WatchAnswer]) -> None:
        """Tell the records of a group as they are, or what came since a token; then every change.

        Raises:
            RpcError: the status that ends the watch. One that does not read is reset: an answer that waits
                for room cannot be taken back.
        """
        request = await stream.recv()
        if request is None:
            raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")

        sending_since = math.inf

        async def send(answer: WatchAnswer) -> None:
            nonlocal sending_since
            sending_since = trio.current_time()
            await stream.send(answer)
            sending_since = math.inf

        async def end_if_stalled() -> None:
            # One timer for all answers: a scope with a deadline takes as long as sending an answer.
            while True:
                await trio.sleep_until(min(sending_since, trio.current_time()) + WATCH_STALLED_SECONDS)
                if trio.current_time() >= sending_since + WATCH_STALLED_SECONDS:
                    raise RpcError(
                        Status.RESOURCE_EXHAUSTED,
                        f"the watch has read nothing for {WATCH_STALLED_SECONDS:.0f} s:"
                        " go on from its last token",
                    )

        with as_status(), one_error():
            asked = self._watches.asked(
                request.group,
                name=request.name,
                ids=frozenset(request.ids),
                where=decode_criteria(request.where),
                since=request.since,
                ack=request.ack,
            )
            async with self._watches.open(asked, caller_of(stream.call, self._shards.view.members)) as watch:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(end_if_stalled)
                    await watch.run(send)

    async def wait(self, request: pb.WaitRequest, _call: CallContext) -> pb.WaitResponse:
        """Wait until every replica has a record, or the time is up."""
        entity = Entity(request.group, request.name, request.id)
        with as_status():
            if request.revision < 0:
                raise RpcError(Status.INVALID_ARGUMENT, "revision: expected 0 or more")
            done = await self._barrier.wait(entity, request.revision, request.milliseconds / 1000)
        if done is None:
            raise RpcError(Status.NOT_FOUND, f"{entity.text}: no such record")
        reply = pb.WaitResponse(revision=done.revision, applied=done.applied)
        for node, why in done.lagging:
            reply.lagging.add(node=node, why=why)
        return reply

    async def explain(self, request: pb.ExplainRequest, _call: CallContext) -> pb.ExplainResponse:
        """Tell what each replica holds of a record, and which version wins."""
        entity = Entity(request.group, request.name, request.id)
        with as_status():
            replicas = await self._versions.of(entity)
        return encode_explanation(replicas, winner_of(replicas))
