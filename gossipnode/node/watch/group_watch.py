"""A client's watch of a group: the changes of all its shards, each from one of its replicas.

A replica that is lost is followed by another one. What then cannot be told for certain is told as a gap,
after which the records as they are come again.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog
import trio

from gossipnode.concurrency.change_event import first_of
from gossipnode.concurrency.nursery_errors import one_error
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.model.property import ShardId
from gossipnode.core.watch.told_change import FeedPage, ToldChange, in_parts
from gossipnode.core.watch.watch_filter import EventKind, WatchFilter
from gossipnode.core.watch.watch_plan import WatchFeed, plan_feeds
from gossipnode.core.watch.watch_token import FeedPosition, WatchToken, moved_on
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import UnknownGroupError
from gossipnode.node.watch.local_feed import FeedGapError, LocalFeed, SendPage
from gossipnode.node.watch.page_queue import PageQueue
from gossipnode.node.watch.quorum_view import QuorumView
from gossipnode.node.watch.remote_feed import RemoteFeed
from gossipnode.node.watch.store_news import StoreNews
from gossipnode.node.watch.told_events import event_of
from gossipnode.rpc import RpcError
from gossipnode.wire.watch_codec import WatchAnswer, encode_sign_event, encode_token
from gossipnode.wire.wire_errors import WireError

WATCH_ALIVE_SECONDS = 5.0
"""A watch without events sends an answer this often, which shows that the node is there."""

FEED_AGAIN_SECONDS = 0.5
"""How long a replica that failed is left alone, if there is no other one."""

LOOK_AGAIN_SECONDS = 2.0
"""While changes come, how often it is looked for better feeds although nothing has told of a change."""

PAGES_WAITING_MAX = 4
"""Pages of all feeds that wait to be told."""

ANSWER_BYTES = 256 << 10
"""What an answer has at most, unless a single event is larger."""

SendAnswer: TypeAlias = Callable[[WatchAnswer], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WatchAsked:
    """What a client asks for."""

    group: str
    filter: WatchFilter
    since: WatchToken | None = None
    level: AckLevel = AckLevel.ONE


@dataclass(slots=True, eq=False)
class _Running:
    """A feed under way."""

    feed: WatchFeed
    scope: trio.CancelScope
    shards: frozenset[int]
    """Those of `feed`."""
    ready: bool = False


class GroupWatch:
    """One watch. `run` goes on until it is cancelled, or until the group is gone."""

    def __init__(
        self, local: LocalState, members: Members, news: StoreNews, quorum: QuorumView, asked: WatchAsked
    ) -> None:
        """Watch what `asked` says; `quorum` shows what a quorum has."""
        self._local = local
        self._shards = local.shards
        self._members = members
        self._news = news
        self._quorum = quorum
        self._asked = asked
        self._incarnation = -1
        self._positions: tuple[FeedPosition, ...] = ()
        self._running: dict[WatchFeed, _Running] = {}
        self._avoided: dict[str, float] = {}
        """Members whose feed failed, and until when they are left alone."""
        self._told_ready = False
        self._began_again = -math.inf
        self._pages = PageQueue[tuple[_Running, FeedPage]](PAGES_WAITING_MAX)
        self._look_at = -math.inf
        """When the feeds are to be looked at next."""
        self._answered_at = trio.current_time()
        self._silent = False
        """Whether it is time to show that we are here."""
        self._gap = ""
        """Why all that was told is void; empty if it is not."""
        self._log = structlog.get_logger("gossipnode.watch").bind(group=asked.group)

    async def run(self, send: SendAnswer) -> None:
        """Send answers until cancelled.

        Raises:
            UnknownGroupError: there is no such group, or it was deleted.
            StoreError: this node's own store cannot be read.
        """
        self._begin()
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._notice_changes)
                nursery.start_soon(self._notice_silence)
                while True:
                    if trio.current_time() >= self._look_at:
                        await self._keep_feeds(nursery, send)
                    await self._next(send)

    def _begin(self) -> None:
        incarnation = self._current_incarnation()
        since = self._asked.since
        if since is not None and since.incarnation == incarnation:
            self._positions = since.positions
        elif since is not None:
            self._gap = f"group {self._asked.group} was deleted and made again"
        self._incarnation = incarnation

    def _current_incarnation(self) -> int:
        self._shards.shard_count(self._asked.group)
        shard = self._shards.find(self._asked.group, 0)
        if shard is None:
            raise UnknownGroupError(self._asked.group, self._shards.view.groups)
        return shard.incarnation

    async def _notice_changes(self) -> None:
        """Have the feeds looked at whenever members, placements, the group or our own copies have changed."""
        changed, stale = self._shards.changed, self._local.retention.became_stale
        while True:
            pending = changed.pending, stale.pending
            self._look()
            await first_of(*pending)

    async def _notice_silence(self) -> None:
        """Have an answer sent when none was sent for a while, and the feeds looked at."""
        while True:
            seconds = WATCH_ALIVE_SECONDS if self._running else FEED_AGAIN_SECONDS
            await trio.sleep_until(self._answered_at + seconds)
            if trio.current_time() >= self._answered_at + seconds:
                self._answered_at = trio.current_time()
                self._silent = True
                self._look()

    def _look(self) -> None:
        """Have the feeds looked at before the next page is told."""
        self._look_at = -math.inf
        self._pages.wake()

    # Feeds

    async def _keep_feeds(self, nursery: trio.Nursery, send: SendAnswer) -> None:
        """Have a feed for each shard, from a replica that holds it now."""
        self._look_at = trio.current_time() + LOOK_AGAIN_SECONDS
        incarnation = self._current_incarnation()
        if incarnation != self._incarnation:
            self._incarnation = incarnation
            self._gap = f"group {self._asked.group} was deleted and made again"
        if self._gap:
            await self._start_over(send)
        plan = self._plan()
        wanted: dict[str, set[int]] = {}
        for feed in plan:
            wanted.setdefault(feed.node, set()).update(feed.shards)
        for running in list(self._running.values()):
            feed = running.feed
            if not wanted.get(feed.node, set()).issuperset(feed.shards):
                self._end(running)
        followed = {shard for feed in self._running for shard in feed.shards}
        for feed in plan:
            left = tuple(shard for shard in feed.shards if shard not in followed)
            if left:
                running = _Running(feed._replace(shards=left), trio.CancelScope(), frozenset(left))
                self._running[running.feed] = running
                nursery.start_soon(self._follow, running)

    async def _start_over(self, send: SendAnswer) -> None:
        # A gap that comes again at once must not keep the node busy.
        await trio.sleep_until(self._began_again + FEED_AGAIN_SECONDS)
        self._began_again = trio.current_time()
        self._log.info("watch begins again", reason=self._gap)
        for running in list(self._running.values()):
            self._end(running)
        self._positions = ()
        self._told_ready = False
        reason, self._gap = self._gap, ""
        await self._answer(WatchAnswer([encode_sign_event(EventKind.GAP, reason)]), send)

    def _plan(self) -> tuple[WatchFeed, ...]:
        births = {
            peer.name: peer.birth
            for peer in self._members.peers.values()
            if peer.birth and peer.state != "down" and not peer.foreign and not self._is_avoided(peer.name)
        }
        if self._shards.cleared and not self._is_avoided(self._shards.own_name):
            births[self._shards.own_name] = self._shards.own.birth
        shards = self._shards.shards_of(self._asked.group)
        sources = {shard.shard: self._sources(shard) for shard in shards}
        plan = plan_feeds(self._shards.own_name, sources, births, self._standing())
        return plan.feeds

    def _sources(self, shard: ShardId) -> tuple[str, ...]:
        """The replicas that hold all records of a shard; not this node while its copy counts for nothing."""
        sources = self._shards.placement(shard).sources
        if self._local.retention.why_not_served(shard):
            return tuple(name for name in sources if name != self._shards.own_name)
        return sources

    def _standing(self) -> tuple[FeedPosition, ...]:
        """Where the watch stands. A feed that still tells the records as they are is not left for another."""
        positions = self._positions
        for feed in self._running:
            if feed.since is None and not self._knows(feed):
                at = FeedPosition(feed.node, feed.birth, 0, frozenset(feed.shards))
                positions = moved_on(positions, at)
        return positions

    def _knows(self, feed: WatchFeed) -> bool:
        return any(
            position.node == feed.node and position.shards >= frozenset(feed.shards)
            for position in self._positions
        )

    def _is_avoided(self, name: str) -> bool:
        return self._avoided.get(name, -math.inf) > trio.current_time()

    def _end(self, running: _Running) -> None:
        self._running.pop(running.feed, None)
        running.scope.cancel()

    async def _follow(self, running: _Running) -> None:
        """Bring the pages of one feed here; what goes wrong with it has the feeds looked at."""
        feed = running.feed

        async def bring(page: FeedPage) -> None:
            await self._pages.put((running, page))

        with running.scope:
            try:
                await self._source(feed, bring)
            except FeedGapError as error:
                self._gap = f"{feed.node}: {error}"
            except (RpcError, WireError) as error:
                self._avoid(feed, str(error))
            else:
                self._avoid(feed, "it is no member")
            self._running.pop(feed, None)
            self._look()
            # A replica that failed is looked at once more when it is left alone no longer.
            await trio.sleep_until(self._avoided.get(feed.node, -math.inf))
            self._look()

    def _avoid(self, feed: WatchFeed, reason: str) -> None:
        self._avoided[feed.node] = trio.current_time() + FEED_AGAIN_SECONDS
        self._log.info("replica no longer followed", peer=feed.node, reason=reason)

    async def _source(self, feed: WatchFeed, bring: SendPage) -> None:
        if feed.node == self._shards.own_name:
            found = (self._shards.find(self._asked.group, number) for number in feed.shards)
            shards = [shard for shard in found if shard is not None]
            local = LocalFeed(self._local.store, self._news, shards, feed.since, feed.mark)
            await local.run(bring)
            return
        peer = self._members.peers.get(feed.node)
        if peer is not None:
            remote = RemoteFeed(self._members, peer, self._asked.group, self._incarnation, feed)
            await remote.run(bring)

    # Telling

    async def _next(self, send: SendAnswer) -> None:
        """Tell the next page; without an answer for a while, show that we are here."""
        came = await self._pages.take()
        if self._silent:
            self._silent = False
            await self._answer(WatchAnswer(token=self._token()), send)
        if came is not None and self._running.get(came[0].feed) is came[0]:
            await self._tell(*came, send)

    async def _answer(self, answer: WatchAnswer, send: SendAnswer) -> None:
        await send(answer)
        self._answered_at = trio.current_time()

    async def _tell(self, running: _Running, page: FeedPage, send: SendAnswer) -> None:
        feed = running.feed
        events = await self._events(feed, page)
        if page.sequence:
            reached = FeedPosition(feed.node, feed.birth, page.sequence, running.shards, page.mark)
            self._positions = moved_on(self._positions, reached)
        running.ready = running.ready or page.ready
        if not self._told_ready and self._is_ready():
            self._told_ready = True
            events.append(encode_sign_event(EventKind.READY))
        parts = list(in_parts(events, len, ANSWER_BYTES))
        for part in parts[:-1]:
            await self._answer(WatchAnswer(part), send)
        if events:
            await self._answer(WatchAnswer(parts[-1], self._token()), send)

    async def _events(self, feed: WatchFeed, page: FeedPage) -> list[bytes]:
        changes: Sequence[ToldChange] = page.changes
        if self._asked.level is AckLevel.QUORUM:
            asked = [each for each in changes if self._asked.filter.asks_for(each.record.entity)]
            gone = [each for each in asked if each.purged]
            changes = [*await self._quorum.shown([each for each in asked if not each.purged]), *gone]
        events: list[bytes] = []
        for change in changes:
            if change.purged:
                if self._asked.filter.asks_for(change.record.entity):
                    events.append(event_of(change, EventKind.PURGE))
                continue
            first = change.sequence == 0 and not feed.again
            kind = self._asked.filter.kind(change.record, change.old, first=first)
            if kind is not None:
                events.append(event_of(change, kind))
                if change.overlap and change.sequence:
                    events.append(event_of(change, EventKind.CONFLICT))
        return events

    def _is_ready(self) -> bool:
        followed = {shard for running in self._running.values() for shard in running.feed.shards}
        all_ready = all(running.ready for running in self._running.values())
        return all_ready and len(followed) == self._shards.shard_count(self._asked.group)

    def _token(self) -> bytes:
        """Where the watch stands; empty as long as that is not known of every shard."""
        known = sum(len(position.shards) for position in self._positions)
        if known < self._shards.shard_count(self._asked.group):
            return b""
        cluster = self._shards.view.metadata.cluster_id.hex()
        return encode_token(WatchToken(cluster, self._asked.group, self._incarnation, self._positions))
