"""NodeService: all that the command line asks of a node, but for groups and members (see `node_admin`)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from gossipnode.concurrency.fair_turns import Turn
from gossipnode.core.model.property import Entity, ShardId, parse_entity
from gossipnode.core.query.query import Query
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import Cause
from gossipnode.node.coordinate.coordination import Coordination
from gossipnode.node.coordinate.request_log import lines_name
from gossipnode.node.endpoints.import_call import ImportCall
from gossipnode.node.endpoints.record_sender import QueryTimer, new_trace_id, record_sender
from gossipnode.node.endpoints.status_report import StatusReport
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.query.queries import Queries
from gossipnode.node.query.query_turns import QueryTurns, kind_of
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.repair.origin import RoundWatch
from gossipnode.node.repair.repair import Repair
from gossipnode.node.search.search_turns import SearchKind
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.query.query_codec import decode_query
from gossipnode.wire.record_codec import (
    decode_apply,
    decode_delete,
    decode_get,
    encode_applied,
    encode_deleted,
    encode_got,
)
from gossipnode.wire.round_codec import encode_finished, encode_hop_made, encode_started
from gossipnode.wire.shown_codec import NodeStatus, encode_differences, encode_leaves, encode_tree

TREE_PAGE_LEAVES = 128
"""Leaves in one message of a tree: they are encoded in a few milliseconds, and fit whatever their keys."""


class NodeService:
    """Serves the command line: records, rounds, and what the node says of itself."""

    def __init__(
        self,
        local: LocalState,
        coordination: Coordination,
        queries: Queries,
        turns: QueryTurns,
        repair: Repair,
        status: StatusReport,
        access: Access,
        rng: random.Random,
    ) -> None:
        """Answer from these parts of the node; `rng` gives the ids of traces."""
        self._access = access
        self._shards = local.shards
        self._store = local.store
        self._clock = local.clock
        self._coordinator = coordination.coordinator
        self._bulk = coordination.bulk
        self._queries = queries
        self._rounds = repair.rounds
        self._sessions = repair.sessions
        self._status = status
        self._rng = rng
        self._turns = turns

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.NODE_APPLY: self.apply,
            services.NODE_DELETE: self.delete,
            services.NODE_GET: self.get,
            services.NODE_QUERY: self.query,
            services.NODE_IMPORT: self.import_records,
            services.NODE_EXPORT: self.export,
            services.NODE_STATUS: self.status,
            services.NODE_TREE: self.tree,
            services.NODE_DIFF: self.diff,
            services.NODE_REPAIR: self.repair,
        }

    # Records

    async def apply(self, request: v1.ApplyRequest, call: CallContext) -> v1.ApplyResponse:
        """Create or change a record."""
        with as_status():
            asked = decode_apply(request)
            lines_name(asked.request_id)
            applied = await self._coordinator.apply(
                asked.payload,
                replace=asked.replace,
                ack=asked.ack,
                request_id=asked.request_id,
                caller=caller_of(call, self._shards.view.members),
            )
        return encode_applied(
            applied.record,
            created=applied.created,
            acknowledged=applied.acknowledged,
            replicas=applied.replicas,
        )

    async def delete(self, request: v1.DeleteRequest, call: CallContext) -> v1.DeleteResponse:
        """Delete one record."""
        asked = decode_delete(request)
        lines_name(asked.request_id)
        with as_status():
            done = await self._coordinator.delete(asked.entity, ack=asked.ack, request_id=asked.request_id)
        return encode_deleted(done.tombstone, acknowledged=done.acknowledged, replicas=done.replicas)

    async def get(self, request: v1.GetRequest, call: CallContext) -> v1.GetResponse:
        """Read one record."""
        asked = decode_get(request)
        with as_status():
            got = await self._coordinator.get(asked.entity, ack=asked.ack)
        return encode_got(got.record, acknowledged=got.acknowledged, replicas=got.replicas)

    async def query(self, stream: ServerStream[v1.QueryRequest, v1.RecordBatch]) -> None:
        """Answer a query, in lists of records."""
        asked = await only_request(stream)
        timer = QueryTimer(self._clock.now, trace_id := new_trace_id(self._rng))
        lines_name(trace_id)
        with as_status():
            after = parse_entity(asked.after) if asked.after else None
            query = decode_query(asked.query, after=after, ack=asked.ack)
            turn = self._turns.streaming(stream.call, kind_of(query))
            # The sender comes first: a query that waits for its turn shows that it is alive.
            async with record_sender(stream) as sender, turn as sender.turn:
                async with self._queries.open(query) as answer:
                    await sender.send_all(answer)
            trace = None
            if asked.query.trace:
                trace = timer.trace(self._shards.own_name, answer.trace, sender.sent)
            if trace is not None or not sender.empty:
                await sender.flush(trace)

    async def export(self, stream: ServerStream[v1.ExportRequest, v1.RecordBatch]) -> None:
        """Send every record of a group, in key order."""
        request = await only_request(stream)
        with as_status():
            query = Query((request.group,), ack=request.ack, everything=True, tombstones=request.tombstones)
            turn = self._turns.streaming(stream.call, SearchKind.SCAN)
            async with record_sender(stream) as sender, turn as sender.turn:
                async with self._queries.open(query) as answer:
                    await sender.send_all(answer)
            if not sender.empty:
                await sender.flush()

    async def import_records(self, stream: ServerStream[v1.ImportRequest, v1.ImportResponse]) -> None:
        """Store batches, each answered when it is acknowledged; a bad record ends the call."""
        await ImportCall(
            stream, self._bulk, self._access, caller_of(stream.call, self._shards.view.members)
        ).run()

    # The node

    async def status(self, request: v1.StatusRequest, call: CallContext) -> NodeStatus:
        """What the node says of itself."""
        with as_status():
            return await self._status.read(request.group, request.shards_max)

    async def tree(self, stream: ServerStream[v1.TreeRequest, v1.TreeResponse]) -> None:
        """Send the digests of a shard, and its leaves when asked for."""
        request = await only_request(stream)
        with as_status():
            shard = self._shard(request.group, request.shard)
            if not self._shards.holds(shard):
                await stream.send(encode_tree(None))
                return
            tree = await self._store.tree(shard)
            await stream.send(encode_tree(tree))
            if request.leaves:
                async with self._turns.streaming(stream.call, SearchKind.SCAN) as turn:
                    wanted = request.leaves_of or [slot.slot for slot in tree.slots]
                    for slot in sorted({slot.slot for slot in tree.slots} & set(wanted)):
                        await self._send_leaves(stream, shard, slot, turn)

    async def _send_leaves(
        self, stream: ServerStream[v1.TreeRequest, v1.TreeResponse], shard: ShardId, slot: int, turn: Turn
    ) -> None:
        after: Entity | None = None
        while page := await self._store.leaves(shard, slot, after=after, limit=TREE_PAGE_LEAVES):
            after = page[-1].entity
            with turn.handing_over():
                await stream.send(encode_leaves(page))

    async def diff(self, stream: ServerStream[v1.DiffRequest, v1.DiffResponse]) -> None:
        """Send what differs between this node and another member in a shard."""
        request = await only_request(stream)
        with as_status():
            shard = self._shard(request.group, request.shard)
            if not self._shards.holds(shard):
                await stream.send(v1.DiffResponse(state="missing"))
                return
            # What is found is kept until it is sent, as the answer of an ordered query is.
            async with self._turns.streaming(stream.call, SearchKind.SORT) as turn:
                run, reason = await self._sessions.survey(request.node, shard)
                if run is None:
                    await stream.send(v1.DiffResponse(state="trees", reason=reason))
                    return
                await stream.send(v1.DiffResponse(state="compared"))
                found = run.differences
                for at in range(0, len(found), TREE_PAGE_LEAVES):
                    with turn.handing_over():
                        await stream.send(encode_differences(found[at : at + TREE_PAGE_LEAVES]))

    async def repair(self, stream: ServerStream[v1.RepairRequest, v1.RoundEvent]) -> None:
        """Start a round for each shard asked for; with wait, tell of every hop and of each round's end."""
        request = await only_request(stream)
        with as_status():
            if request.shard is None:
                shards = self._shards.shards_of(request.group)
            else:
                shards = [self._shard(request.group, request.shard)]
            watches = [self._rounds.start(shard, Cause.ASKED) for shard in shards]
        for watch in watches:
            await stream.send(encode_started(watch.now()))
        if request.wait:
            for watch in watches:
                await _follow(stream, watch)

    def _shard(self, group: str, number: int) -> ShardId:
        count = self._shards.shard_count(group)
        shard = self._shards.find(group, number)
        if shard is None:
            raise RpcError(
                Status.NOT_FOUND,
                f"group {group!r} has no shard {number}: it has {count}, counted from 0",
            )
        return shard


async def only_request(stream: ServerStream[Any, Any]) -> Any:
    """The one request of a call whose answer is a stream.

    Raises:
        RpcError: INVALID_ARGUMENT when none came.
    """
    request = await stream.recv()
    if request is None:
        raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")
    return request


async def _follow(stream: ServerStream[v1.RepairRequest, v1.RoundEvent], watch: RoundWatch) -> None:
    """Tell of each hop of a round as it is reported, and of the round's end."""
    told: list[Hop] = []
    while True:
        changed, known = watch.changed.pending, watch.now()
        untold = list(known.hops)
        for hop in told:
            untold.remove(hop)
        for hop in untold:
            await stream.send(encode_hop_made(known, hop))
        told += untold
        if known.outcome is not None:
            await stream.send(encode_finished(known))
            return
        await changed.wait()
