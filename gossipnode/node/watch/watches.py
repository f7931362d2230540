"""The watches of this node's clients: what one may ask for, and how many there may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from gossipnode.concurrency.shares import Caller
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.query.criteria import Criteria, check_criteria, matches
from gossipnode.core.watch.watch_filter import WatchFilter
from gossipnode.core.watch.watch_token import check_token
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import UnknownLevelError
from gossipnode.node.watch.group_watch import GroupWatch, WatchAsked
from gossipnode.node.watch.quorum_view import QuorumView
from gossipnode.node.watch.store_news import StoreNews
from gossipnode.rpc import RpcError, Status
from gossipnode.wire.property.property_edit import read_tags
from gossipnode.wire.watch_codec import decode_token
from gossipnode.wire.wire_errors import WireError

WATCHES_MAX = 4096
"""Watches of clients at one node."""

WATCHES_PER_CALLER_MAX = 2048
"""Watches of one caller, so that others have some, too."""


class Watches:
    """Opens watches."""

    def __init__(self, local: LocalState, members: Members, news: StoreNews, steps: RecordSteps) -> None:
        """Watch what `local` and `members` hold; what a quorum has is read by `steps`."""
        self._local = local
        self._members = members
        self._news = news
        self._quorum = QuorumView(steps)
        self._open: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """How many watches there are."""
        return self._open.total()

    def asked(
        self,
        group: str,
        *,
        name: str = "",
        ids: frozenset[str] = frozenset(),
        where: Criteria | None = None,
        since: bytes = b"",
        ack: str = "",
    ) -> WatchAsked:
        """What a client asks for, checked.

        Raises:
            UnknownGroupError: there is no such group.
            UnknownLevelError: a level that no watch has.
            TokenError: a token from which it cannot go on.
            InvalidCriteriaError: criteria that mean nothing.
        """
        shards = self._local.shards.shard_count(group)
        if ack not in {"", AckLevel.ONE.value, AckLevel.QUORUM.value}:
            raise UnknownLevelError(f"ack: {ack[:80]!r}; a watch shows what one replica has, or a quorum")
        token = None
        if since:
            token = decode_token(since)
            check_token(token, self._local.shards.view.metadata.cluster_id.hex(), group, shards)
        wanted = WatchFilter(name, ids, None if where is None else _matching(check_criteria(where)))
        return WatchAsked(group, wanted, token, AckLevel(ack or AckLevel.ONE.value))

    @asynccontextmanager
    async def open(self, asked: WatchAsked, caller: Caller) -> AsyncGenerator[GroupWatch]:
        """A watch, to be run within the block.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, there are too many.
        """
        if self.under_way >= WATCHES_MAX:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED, f"{WATCHES_MAX} watches are open already; ask another node"
            )
        if self._open[caller.name] >= WATCHES_PER_CALLER_MAX:
            raise RpcError(
                Status.RESOURCE_EXHAUSTED,
                f"{caller.name} has {WATCHES_PER_CALLER_MAX} watches open already; ask another node",
            )
        self._open[caller.name] += 1
        try:
            yield GroupWatch(self._local, self._members, self._news, self._quorum, asked)
        finally:
            self._open[caller.name] -= 1
            if not self._open[caller.name]:
                del self._open[caller.name]


def _matching(criteria: Criteria) -> Callable[[bytes], bool]:
    """Whether a payload matches criteria. One that cannot be read matches none."""

    def matching(payload: bytes) -> bool:
        try:
            return matches(criteria, read_tags(payload))
        except WireError:
            return False

    return matching
