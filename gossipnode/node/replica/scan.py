"""This node as a replica in a query: it sends its candidates in order, as fast as the caller takes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

from gossipnode.concurrency.fair_turns import Turn
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import ShardId
from gossipnode.core.query.search import Search
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.replica.replica import Replica
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.node.search.search_turns import Places, SearchKind, SearchTurns
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.store.interface import RecordDamagedError, Store
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.query.scan_codec import SearchedShard, add_candidate, decode_search
from gossipnode.wire.wire_errors import WireError

STREAM_MESSAGE_BYTES = 256 << 10
"""A message of a stream of records ends with the record by which it reaches this size."""

LOOKUPS_SERVED_AT_ONCE = Places(working=64, held=128)
SCANS_SERVED_AT_ONCE = Places(working=48, held=160)
SORTS_SERVED_AT_ONCE = Places(working=24, held=48)
"""Searches of coordinators that a replica serves at the same time. More of them wait for their turn.

One coordinator alone has half of them, at least as many as it serves clients of its own.
"""

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


async def check_whole(store: Store, shards: ShardMap, searched: Collection[ShardId]) -> None:
    """Give up a search if a record of these shards is set aside here: it would find too little.

    The coordinator then searches the other replicas. If the shard has no other replica, the search goes on
    without the record. Call this after each page, because a record may be set aside while the page is read.

    Raises:
        RecordDamagedError: names the record.
    """
    for shard, name in (await store.damaged_shards()).items():
        if shard in searched and len(shards.placement(shard).holders) > 1:
            raise RecordDamagedError(f"{shard}: record {name} is damaged here and set aside")


class ReplicaScan:
    """Serves the searches of coordinators."""

    def __init__(self, local: LocalState, replica: Replica) -> None:
        """Search the records of `local`; `replica` judges whether the caller sees the cluster as we do."""
        self._shards = local.shards
        self._store = local.store
        self._indexes = local.indexes
        self._replica = replica
        self._turns = SearchTurns(
            {
                SearchKind.KEYS: LOOKUPS_SERVED_AT_ONCE,
                SearchKind.SCAN: SCANS_SERVED_AT_ONCE,
                SearchKind.SORT: SORTS_SERVED_AT_ONCE,
            }
        )

    @property
    def under_way(self) -> int:
        """How many searches are served now."""
        return self._turns.held

    async def serve(self, stream: ScanStream) -> None:
        """Serve one search.

        Raises:
            RpcError: the status that ends it.
        """
        request = await stream.recv()
        if request is None:
            raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")
        with as_status():
            await self._replica.wait_cleared()
            search, asked = self._read(request)
            kind = SearchKind.SORT if search.order_by else SearchKind.SCAN
            if search.by_key:
                kind = SearchKind.KEYS
            async with self._turn(stream, kind) as turn:
                await self._serve(search, asked, stream, turn)

    @asynccontextmanager
    async def _turn(self, stream: ScanStream, kind: SearchKind) -> AsyncGenerator[Turn]:
        """Wait for a turn, and let the coordinator know meanwhile that this node is alive."""
        caller = caller_of(stream.call, self._shards.view.members)
        has_turn, ended = trio.Event(), trio.Event()

        async def show_life() -> None:
            while not has_turn.is_set():
                with trio.move_on_after(SCAN_PAUSE_SECONDS):
                    await has_turn.wait()
                if not has_turn.is_set():
                    await stream.send(pb.ScanPage())
            ended.set()

        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(show_life)
                async with self._turns.hold(kind, caller, stream.call.replies) as turn:
                    has_turn.set()
                    # A page that is being sent is sent whole before the search sends its own.
                    with turn.handing_over():
                        await ended.wait()
                    yield turn

    def _read(self, request: pb.ScanRequest) -> tuple[Search, Sequence[SearchedShard]]:
        """Decode a request, and refuse one that was made in another view of the cluster than ours."""
        if len(request.shards) > SCAN_SHARDS_MAX:
            raise WireError(f"shards: {len(request.shards)}, expected {SCAN_SHARDS_MAX} at most")
        search, asked = decode_search(request)
        for each in asked:
            refusal = self._replica.refusal(each.shard, each.fence)
            if refusal is not None:
                raise RpcError(Status(refusal.status), refusal.message)
        return search, asked

    async def _serve(
        self, search: Search, asked: Sequence[SearchedShard], stream: ScanStream, turn: Turn
    ) -> None:
        self._indexes.asked(search)
        properties = {each.shard: each.properties for each in asked}
        local = LocalSearch(self._store, search)
        held = HeldShards(self._shards, search.shards)
        sent_at = trio.current_time()
        page, size = pb.ScanPage(), 0
        while True:
            found = await local.next_page()
            await check_whole(self._store, self._shards, properties)
            if (lost := held.lost()) is not None:
                text = f"{self._shards.own_name} holds {lost} no more"
                raise RpcError(Status.FAILED_PRECONDITION, text)
            if found is None:
                break
            for shard, record, place in found:
                size += add_candidate(page, place, record, shard.shard, properties=properties[shard])
                if size >= STREAM_MESSAGE_BYTES:
                    await _send(stream, page, local, turn)
                    page, size, sent_at = pb.ScanPage(), 0, trio.current_time()
            if size or trio.current_time() - sent_at >= SCAN_PAUSE_SECONDS:
                await _send(stream, page, local, turn)
                page, size, sent_at = pb.ScanPage(), 0, trio.current_time()
        page.finished = True
        await _send(stream, page, local, turn)


async def _send(stream: ScanStream, page: pb.ScanPage, local: LocalSearch, turn: Turn) -> None:
    page.rows_read = local.rows_read
    page.index = local.index
    with turn.handing_over():
        await stream.send(page)
