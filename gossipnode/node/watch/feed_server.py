"""Tells other nodes the changes of shards that this one holds: for watches of their clients."""

from __future__ import annotations

from typing import TypeAlias

import trio

from gossipnode.concurrency.change_event import first_of
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.model.property import ShardId
from gossipnode.core.watch.told_change import FeedPage
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.watch.local_feed import FeedGapError, LocalFeed
from gossipnode.node.watch.store_news import StoreNews
from gossipnode.rpc import RpcError, ServerStream, Status
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.change_codec import decode_feed, encode_changes

FEED_ALIVE_SECONDS = 2.0
"""A feed without changes sends an empty page this often, or its caller would give it up."""

FEEDS_SERVED_MAX = 4096
"""Feeds that other nodes may have from this one at once."""

FeedStream: TypeAlias = ServerStream[pb.ChangesRequest, pb.ChangesPage]


class FeedServer:
    """Serves feeds of changes to members."""

    def __init__(self, local: LocalState, news: StoreNews) -> None:
        """Read from `local`, and listen to `news`."""
        self._local = local
        self._news = news
        self.served = 0
        """Feeds that are served now."""

    async def serve(self, stream: FeedStream) -> None:
        """Serve one feed.

        Raises:
            RpcError: the status that ends it: FAILED_PRECONDITION when a shard is not held here, or when this
                store is not the one that is meant; OUT_OF_RANGE when it cannot go on from where it stands.
        """
        request = await stream.recv()
        if request is None:
            raise RpcError(Status.INVALID_ARGUMENT, "expected one request, got none")
        if self.served >= FEEDS_SERVED_MAX:
            raise RpcError(Status.RESOURCE_EXHAUSTED, f"{FEEDS_SERVED_MAX} feeds are served already")
        with as_status():
            birth, shards, since, mark = decode_feed(request)
        if birth != self._local.shards.own.birth:
            raise RpcError(Status.FAILED_PRECONDITION, f"the store of {self._local.own_name} is another one")
        self._check_held(shards)
        self.served += 1
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_view, shards)
                    await self._serve(stream, LocalFeed(self._local.store, self._news, shards, since, mark))
        finally:
            self.served -= 1

    async def _serve(self, stream: FeedStream, feed: LocalFeed) -> None:
        sending = trio.Lock()
        sent_at = trio.current_time()

        async def send(page: FeedPage) -> None:
            nonlocal sent_at
            async with sending:
                await stream.send(encode_changes(page))
                sent_at = trio.current_time()

        async def show_life() -> None:
            while True:
                await trio.sleep_until(sent_at + FEED_ALIVE_SECONDS)
                if trio.current_time() >= sent_at + FEED_ALIVE_SECONDS:
                    await send(FeedPage([]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(show_life)
            try:
                with as_status():
                    await feed.run(send)
            except FeedGapError as error:
                raise RpcError(Status.OUT_OF_RANGE, str(error)) from None

    async def _watch_view(self, shards: list[ShardId]) -> None:
        while True:
            changed, stale = self._local.shards.changed.pending, self._local.retention.became_stale.pending
            self._check_held(shards)
            await first_of(changed, stale)

    def _check_held(self, shards: list[ShardId]) -> None:
        local = self._local.shards
        for shard in shards:
            if not local.holds(shard) or not local.cleared:
                raise RpcError(Status.FAILED_PRECONDITION, f"{local.own_name} does not hold {shard}")
            if reason := self._local.retention.why_not_served(shard):
                raise RpcError(Status.FAILED_PRECONDITION, reason)
