"""The candidates of one replica for a search, as a stream in order. The replica may be this node itself.

A stream reads a page or two ahead and then waits, so what it holds is bounded, however much the search finds.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

import structlog
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.query.replica_messages import Candidate
from gossipnode.core.query.search import Search
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.replica.scan import HeldShards, check_whole
from gossipnode.node.search.local_search import LocalSearch
from gossipnode.observe.traces.request_spans import replica_span
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.query.scan_codec import SearchedShard, decode_candidates, encode_search
from gossipnode.wire.wire_errors import WireError


class CandidateStream:
    """The candidates of one replica. `run` adds to them while another task takes from them."""

    def __init__(self, replica: str, shards: Sequence[ShardId], fill: Fill) -> None:
        """`fill` searches, and adds what it finds."""
        self.replica = replica
        self.shards = frozenset(shards)
        self.rows_read = 0
        self.index = ""
        self.candidates = 0
        self.failure = ""
        """Why the search broke off; empty if it did not."""
        self.other_view = False
        """Whether it broke off because the replica sees other members than we do."""
        self.began = self.ended_at = trio.current_time()
        self._fill = fill
        self._scope = trio.CancelScope()
        self._in, self._out = trio.open_memory_channel[Sequence[Candidate]](1)
        self._head: list[Candidate] = []
        self._log = structlog.get_logger("gossipnode.query")

    async def run(self) -> None:
        """Read ahead until the end, or until `stop`. What goes wrong becomes `failure`."""
        with replica_span("replica search", self.replica, {}) as span:
            await self._search()
            span.note({"gossipnode.rows_read": self.rows_read, "gossipnode.candidates": self.candidates})
            if self.failure:
                span.failed(self.failure)

    async def _search(self) -> None:
        # The channel closes last, because a reader that finds it closed must find the failure, too.
        with self._in, self._scope:
            try:
                await self._fill(self)
            except (RpcError, StoreError, WireError) as error:
                self._broke_off((error.message if isinstance(error, RpcError) else "") or str(error))
            except Exception:  # noqa: BLE001 - a defect, logged with its traceback
                self._log.exception("a search failed", peer=self.replica)
                self._broke_off("internal error")

    def _broke_off(self, failure: str) -> None:
        self.failure = failure
        self.ended_at = trio.current_time()

    def stop(self) -> None:
        """Stop searching. No candidate may be taken after this."""
        self._scope.cancel()

    async def add(self, page: Sequence[Candidate]) -> None:
        """Add a page of candidates, [] when none were found yet. Waits while the page before is not taken."""
        self.ended_at = trio.current_time()
        if page:
            self.candidates += len(page)
            await self._in.send(page)

    async def head(self) -> Candidate | None:
        """The first candidate that is left; None at the end, or when it broke off."""
        if not self._head:
            try:
                # In reverse, because `pop` takes from the end.
                self._head = list(reversed(await self._out.receive()))
            except trio.EndOfChannel:
                return None
        return self._head[-1]

    def pop(self) -> Candidate:
        """Take the head away."""
        return self._head.pop()


Fill: TypeAlias = Callable[[CandidateStream], Awaitable[None]]


def fill_from_own(
    local: LocalState, search: Search, asked: Sequence[SearchedShard], *, alone: Collection[ShardId] = ()
) -> Fill:
    """Search this node's own store. No other replica is to be searched for the shards of `alone`."""
    properties = {each.shard: each.properties for each in asked}
    shared = properties.keys() - set(alone)

    async def fill(stream: CandidateStream) -> None:
        found_here = LocalSearch(local.store, search)
        held = HeldShards(local.shards, search.shards)
        while True:
            found = await found_here.next_page()
            stream.rows_read, stream.index = found_here.rows_read, found_here.index
            await check_whole(local.store, local.shards, shared)
            if (lost := held.lost()) is not None:
                stream.other_view = True
                raise RpcError(Status.FAILED_PRECONDITION, f"{local.own_name} holds {lost} no more")
            if found is None:
                return
            await stream.add(
                [
                    Candidate(
                        each.place,
                        each.shard,
                        each.record.version,
                        each.record.payload if properties[each.shard] else None,
                    )
                    for each in found
                ]
            )

    return fill


def fill_from_peer(members: Members, peer: Peer, search: Search, asked: Sequence[SearchedShard]) -> Fill:
    """Have a replica elsewhere search."""
    request = encode_search(search, asked)
    known = [each.shard for each in asked]

    async def receive(stream: CandidateStream) -> None:
        # A replica that searches sends a page now and then. While we do not take one, its time stands still.
        with trio.move_on_after(REPLICA_SECONDS) as patience:
            async with peer.channel.stream(
                services.REPLICA_SCAN, timeout=None, metadata=members.metadata, dial_now=True
            ) as call:
                await call.send(request)
                await call.half_close()
                while (page := await call.recv()) is not None:
                    patience.deadline = math.inf
                    stream.rows_read, stream.index = page.rows_read, page.index
                    await stream.add(decode_candidates(page, known))
                    if page.finished:
                        return
                    patience.deadline = trio.current_time() + REPLICA_SECONDS
                raise RpcError(Status.UNAVAILABLE, "it ended its answer too early")
        raise RpcError(Status.DEADLINE_EXCEEDED, f"no answer within {REPLICA_SECONDS:g} s")

    async def fill(stream: CandidateStream) -> None:
        try:
            await receive(stream)
        except RpcError as error:
            peer.request_failed(error)
            # With these, the replica refuses shards that it does not hold in its own view.
            stream.other_view = error.status in (Status.FAILED_PRECONDITION, Status.NOT_FOUND)
            raise
        peer.answered()

    return fill
