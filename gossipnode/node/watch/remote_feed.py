"""The changes of shards that another node holds."""

from __future__ import annotations

import trio

from gossipnode.core.watch.watch_plan import WatchFeed
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.watch.local_feed import FeedGapError, SendPage
from gossipnode.rpc import ClientStream, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.replica.change_codec import decode_changes, encode_feed

FEED_SILENCE_SECONDS = 8.0
"""A replica that sends nothing for this time is given up. An idle one shows more often that it is there."""


class RemoteFeed:
    """The changes of some shards, told by a replica."""

    def __init__(self, members: Members, peer: Peer, group: str, incarnation: int, feed: WatchFeed) -> None:
        """Ask `peer` for what `feed` says."""
        self._metadata = members.metadata
        self._peer = peer
        self._group = group
        self._request = encode_feed(group, incarnation, feed)

    async def run(self, send: SendPage) -> None:
        """Send pages until cancelled.

        Raises:
            FeedGapError: the replica has not had the commit after which changes are wanted.
            RpcError: the replica cannot be reached, or does not answer.
            WireError: it sent what no replica sends.
        """
        try:
            async with self._peer.channel.stream(
                services.REPLICA_CHANGES, timeout=None, metadata=self._metadata
            ) as stream:
                await stream.send(self._request)
                await stream.half_close()
                while True:
                    await send(decode_changes(self._group, await self._page(stream)))
        except RpcError as error:
            if error.status is Status.OUT_OF_RANGE:
                raise FeedGapError(error.message) from None
            self._peer.request_failed(error)
            raise

    async def _page(self, stream: ClientStream[pb.ChangesRequest, pb.ChangesPage]) -> pb.ChangesPage:
        with trio.move_on_after(FEED_SILENCE_SECONDS):
            page = await stream.recv()
            if page is None:
                raise RpcError(Status.UNAVAILABLE, f"{self._peer.name} ended the feed")
            return page
        raise RpcError(Status.DEADLINE_EXCEEDED, f"{self._peer.name} tells nothing")
