"""This node as a replica in a query: it sends its candidates in order, as fast as the caller takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.replica.replica import Replica
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.scan_codec import add_candidate, decode_search
from gossipnode.wire.wire_errors import WireError

STREAM_MESSAGE_BYTES = 256 << 10
"""A message of a stream of records ends with the record by which it reaches this size."""

SCANS_SERVED_AT_ONCE = 64
"""Searches of coordinators that a replica serves at the same time."""

SCAN_SHARDS_MAX = 65_536
"""Shards that one search may name."""

SCAN_PAUSE_SECONDS = 0.5
"""A replica that searches sends a page this often, if need be an empty one, within `REPLICA_SECONDS`."""

ScanStream: TypeAlias = ServerStream[pb.ScanRequest, pb.ScanPage]


class HeldShards:
    """Watches whether this node still holds the shards of a search while the search goes on.

    A shard is dropped once this node is no longer a replica of it. A search over it would then find too
    little.
    """

    def __init__(self, shards: ShardMap, searched: Sequence[ShardId]) -> None:
        """The shards `searched`, all of which this node holds now."""
        self._shards = shards
        self._searched = searched
        self._view = shards.view

    def lost(self) -> ShardId | None:
        """A shard that is no longer held, if there is one. Ask after each page, before relying on it."""
        view = self._shards.view
        if view is self._view:
            return None
        self._view = view
        return next((shard for shard in self._searched if not self._shards.holds(shard)), None)


class ReplicaScan:
    """Serves the searches of coordinators."""

    def __init__(self, local: LocalState, replica: Replica) -> None:
        """Search the records of `local`; `replica` judges whether the caller sees the cluster as we do."""
        self._shards = local.shards
        self._store = local.store
        self._indexes = local.indexes
        self._replica = replica
        self._under_way = 0

    async def serve(self, stream: ScanStream) -> None:
        """Serve one search.

        Raises:
            RpcError: the status that ends it.
        """
        request = await stream.recv()
        if request is None:
            raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")
        if self._under_way >= SCANS_SERVED_AT_ONCE:
            raise RpcError(Status.RESOURCE_EXHAUSTED, f"{self._under_way} searches are under way: try again")
        self._under_way += 1
        try:
            with as_status():
                await self._serve(request, stream)
        finally:
            assert 0 < self._under_way <= SCANS_SERVED_AT_ONCE, self._under_way
            self._under_way -= 1

    async def _serve(self, request: pb.ScanRequest, stream: ScanStream) -> None:
        if len(request.shards) > SCAN_SHARDS_MAX:
            raise WireError(f"shards: {len(request.shards)}, expected {SCAN_SHARDS_MAX} at most")
        search, asked = decode_search(request)
        for each in asked:
            refusal = self._replica.refusal(each.shard, each.fence)
            if refusal is not None:
                raise RpcError(Status(refusal.status), refusal.message)
        self._indexes.asked(search)
        properties = {each.shard: each.properties for each in asked}
        local = LocalSearch(self._store, search)
        held = HeldShards(self._shards, search.shards)
        sent_at = trio.current_time()
        page, size = pb.ScanPage(), 0
        while True:
            found = await local.next_page()
            if (lost := held.lost()) is not None:
                text = f"{self._shards.own_name} holds {lost} no more"
                raise RpcError(Status.FAILED_PRECONDITION, text)
            if found is None:
                break
            for shard, record, place in found:
                size += add_candidate(page, place, record, shard.shard, properties=properties[shard])
                if size >= STREAM_MESSAGE_BYTES:
                    await _send(stream, page, local)
                    page, size, sent_at = pb.ScanPage(), 0, trio.current_time()
            if size or trio.current_time() - sent_at >= SCAN_PAUSE_SECONDS:
                await _send(stream, page, local)
                page, size, sent_at = pb.ScanPage(), 0, trio.current_time()
        page.finished = True
        await _send(stream, page, local)


async def _send(stream: ScanStream, page: pb.ScanPage, local: LocalSearch) -> None:
    page.rows_read = local.rows_read
    page.index = local.index
    await stream.send(page)
