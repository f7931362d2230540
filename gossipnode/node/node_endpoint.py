"""The services of `gossipnode.v1`: what the command line asks, and what holders report to an origin.

Thin: decode, check, call, encode.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from gossipnode.core.property import Entity, Record, ShardId, parse_entity
from gossipnode.core.ring import Cause
from gossipnode.core.rounds import Hop
from gossipnode.core.slot_tree import Leaf
from gossipnode.node import call_metadata
from gossipnode.node.client_requests import ClientRequests
from gossipnode.node.compatible_endpoint import decode_query, is_replace
from gossipnode.node.import_call import ImportCall, check_ack
from gossipnode.node.limits import STREAM_MESSAGE_BYTES, TREE_PAGE_LEAVES
from gossipnode.node.origin import Origin
from gossipnode.node.queries import GroupScan, run_query
from gossipnode.node.round_messages import decode_report, encode_hop, encode_round
from gossipnode.node.shards import Shards
from gossipnode.node.status import StatusSource
from gossipnode.node.statuses import as_status
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1

StartRound = Callable[[ShardId, Cause], str]
"""Starts a round and gives its id."""


class NodeEndpoint:
    """Serves the command line, and the reports of holders."""

    def __init__(
        self,
        shards: Shards,
        requests: ClientRequests,
        origin: Origin,
        status: StatusSource,
        start_round: StartRound,
    ) -> None:
        """Answer from these parts of the node."""
        self._shards = shards
        self._requests = requests
        self._origin = origin
        self._status = status
        self._start_round = start_round

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
            services.NODE_REPAIR: self.repair,
            services.REPORT: self.report,
        }

    # Records

    async def apply(self, request: v1.ApplyRequest, call: CallContext) -> v1.ApplyResponse:
        """Create or change a record."""
        with as_status():
            check_ack(request.ack)
            applied = await self._requests.apply(request.property, replace=is_replace(request.strategy))
        return v1.ApplyResponse(
            created=applied.created,
            property=applied.record.payload,
            acknowledged=1,
            replicas=self._replicas(applied.record.entity),
        )

    async def delete(self, request: v1.DeleteRequest, call: CallContext) -> v1.DeleteResponse:
        """Delete one record."""
        entity = Entity(request.group, request.name, request.id)
        with as_status():
            check_ack(request.ack)
            tombstone = await self._requests.delete(entity)
        if tombstone is None:
            return v1.DeleteResponse(deleted=False, acknowledged=1, replicas=self._replicas(entity))
        return v1.DeleteResponse(
            deleted=True,
            acknowledged=1,
            replicas=self._replicas(entity),
            mod_revision=tombstone.version.mod_revision,
        )

    async def get(self, request: v1.GetRequest, call: CallContext) -> v1.GetResponse:
        """Read one record."""
        with as_status():
            check_ack(request.ack)
            record = await self._requests.get(Entity(request.group, request.name, request.id))
        return v1.GetResponse() if record is None else v1.GetResponse(record=encode_record(record))

    async def query(self, stream: ServerStream[v1.QueryRequest, v1.RecordBatch]) -> None:
        """Answer a query, in lists of records."""
        asked = await only_request(stream)
        with as_status():
            after = parse_entity(asked.after) if asked.after else None
            query = decode_query(asked.query, after=after)
            async with aclosing(run_query(self._shards, query)) as pages:
                await _send_records(stream, pages)

    async def export(self, stream: ServerStream[v1.ExportRequest, v1.RecordBatch]) -> None:
        """Send every record of a group, in key order."""
        request = await only_request(stream)
        with as_status():
            scan = GroupScan(self._shards, request.group)
            async with aclosing(_exported(scan, tombstones=request.tombstones)) as pages:
                await _send_records(stream, pages)

    async def import_records(self, stream: ServerStream[v1.ImportRequest, v1.ImportResponse]) -> None:
        """Store batches, each answered when it is durable; a bad record ends the call."""
        await ImportCall(stream, self._requests).run()

    # The node

    async def status(self, request: v1.StatusRequest, call: CallContext) -> v1.StatusResponse:
        """What the node says of itself."""
        with as_status():
            return await self._status.read()

    async def tree(self, stream: ServerStream[v1.TreeRequest, v1.TreeResponse]) -> None:
        """Send the digests of a shard, and its leaves when asked for."""
        request = await only_request(stream)
        shard = ShardId(request.group, request.shard)
        with as_status():
            self._check_shard(shard)
            if not self._shards.holds(shard):
                await stream.send(v1.TreeResponse(state="missing"))
                return
            tree = await self._shards.store.tree(shard)
            await stream.send(
                v1.TreeResponse(
                    state="ready",
                    root=tree.root,
                    slots=[v1.TreeResponseSlot(slot=slot.slot, sha=slot.sha) for slot in tree.slots],
                )
            )
            if request.leaves:
                for slot in tree.slots:
                    await self._send_leaves(stream, shard, slot.slot)

    async def _send_leaves(
        self, stream: ServerStream[v1.TreeRequest, v1.TreeResponse], shard: ShardId, slot: int
    ) -> None:
        after: Entity | None = None
        while page := await self._shards.store.leaves(shard, slot, after=after, limit=TREE_PAGE_LEAVES):
            after = page[-1].entity
            await stream.send(v1.TreeResponse(leaves=[_encode_leaf(leaf) for leaf in page]))

    async def repair(self, stream: ServerStream[v1.RepairRequest, v1.RoundEvent]) -> None:
        """Start a round for each shard asked for; with wait, tell of every hop and of each round's end."""
        request = await only_request(stream)
        with as_status():
            if request.shard is None:
                shards = self._shards.shards_of(request.group)
            else:
                shards = [ShardId(request.group, request.shard)]
                self._check_shard(shards[0])
            rounds = [(shard, self._start_round(shard, Cause.ASKED)) for shard in shards]
        for shard, round_id in rounds:
            await stream.send(_event(shard, round_id))
        if request.wait:
            for shard, round_id in rounds:
                await self._follow(stream, shard, round_id)

    async def _follow(
        self, stream: ServerStream[v1.RepairRequest, v1.RoundEvent], shard: ShardId, round_id: str
    ) -> None:
        told: list[Hop] = []
        while (known := self._origin.get(round_id)) is not None:
            for hop in known.hops:
                if hop not in told:
                    told.append(hop)
                    await stream.send(_event(shard, round_id, hop=encode_hop(hop)))
            if known.outcome is not None:
                await stream.send(_event(shard, round_id, finished=encode_round(known)))
                return
            now = self._origin.get(round_id)
            if now is not None and (now.hops, now.outcome) == (known.hops, known.outcome):
                await self._origin.wait_change(round_id)
        raise RpcError(Status.ABORTED, f"round {round_id} is no longer remembered")

    async def report(self, request: v1.ReportRequest, call: CallContext) -> v1.ReportResponse:
        """Take what a holder reports of a round that we started."""
        try:
            self._origin.report(decode_report(request))
        except ValueError as error:
            raise RpcError(Status.INVALID_ARGUMENT, f"report: {error}") from error
        call.trailing_metadata[call_metadata.NODE] = self._status.members.own_name
        return v1.ReportResponse()

    def _check_shard(self, shard: ShardId) -> None:
        count = self._shards.shard_count(shard.group)
        if shard.shard >= count:
            raise RpcError(
                Status.NOT_FOUND,
                f"group {shard.group!r} has no shard {shard.shard}: it has {count}, counted from 0",
            )

    def _replicas(self, entity: Entity) -> int:
        return len(self._shards.replicas(self._shards.shard_of(entity)))


async def only_request(stream: ServerStream[Any, Any]) -> Any:
    """The one request of a call whose answer is a stream.

    Raises:
        RpcError: INVALID_ARGUMENT when none came.
    """
    request = await stream.recv()
    if request is None:
        raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")
    return request


def encode_record(record: Record) -> v1.Record:
    """A record as the command line gets it."""
    return v1.Record(property=record.payload, delete_time=record.version.delete_time)


async def _exported(scan: GroupScan, *, tombstones: bool) -> AsyncGenerator[Sequence[Record], None]:
    while page := await scan.next_page():
        yield page if tombstones else [record for record in page if not record.deleted]


async def _send_records(
    stream: ServerStream[Any, v1.RecordBatch], pages: AsyncGenerator[Sequence[Record], None]
) -> None:
    """Send records in messages of a good size, however small the pages are."""
    batch: list[v1.Record] = []
    size = 0
    async for page in pages:
        for record in page:
            batch.append(encode_record(record))
            size += len(record.payload)
            if size >= STREAM_MESSAGE_BYTES:
                await stream.send(v1.RecordBatch(records=batch))
                batch, size = [], 0
    if batch:
        await stream.send(v1.RecordBatch(records=batch))


def _encode_leaf(leaf: Leaf) -> v1.TreeResponseLeaf:
    return v1.TreeResponseLeaf(
        group=leaf.entity.group,
        name=leaf.entity.name,
        id=leaf.entity.id,
        slot=leaf.slot,
        sha=leaf.sha,
        mod_revision=leaf.version.mod_revision,
        delete_time=leaf.version.delete_time,
    )


def _event(
    shard: ShardId, round_id: str, *, hop: v1.Hop | None = None, finished: v1.Round | None = None
) -> v1.RoundEvent:
    event = v1.RoundEvent(round=round_id, group=shard.group, shard=shard.shard)
    if hop is not None:
        event.hop = hop
    if finished is not None:
        event.finished = finished
    return event
