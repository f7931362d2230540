"""Places for the answers of clients, which all services of a node share.

An answer takes a place by what it costs. Some are put together whole, and stay in memory until the client has
taken them: a client that does not take its answer holds up its own connection alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gossipnode.concurrency.fair_turns import Turn
from gossipnode.concurrency.memory_room import holding
from gossipnode.core.query.query import Query
from gossipnode.node.local.shard_map import ShardMap
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.search.ordering import QUERY_MAX_BYTES
from gossipnode.node.search.search_turns import Places, SearchKind, SearchTurns
from gossipnode.rpc import CallContext

LOOKUPS_AT_ONCE = Places(working=32, held=64)
"""Answers to queries that name their records."""

SCANS_AT_ONCE = Places(working=32, held=64)
"""Queries without an order, exports, the leaves of trees, and deletes by name."""

ORDERED_STREAMS_AT_ONCE = Places(working=8, held=12)
"""Ordered answers, each of which is kept whole while it is sent: `QUERY_MAX_BYTES` at most."""

ANSWERS_MADE_AT_ONCE = Places(working=8, held=8)
"""Whole answers, of 4 MiB at most, that are put together at the same time."""


ANSWER_BYTES = {
    SearchKind.KEYS: 1 << 20,
    SearchKind.SCAN: 2 << 20,
    SearchKind.SORT: QUERY_MAX_BYTES,
    SearchKind.WHOLE: 4 << 20,
}
"""What an answer counts for in the budget of memory."""


def kind_of(query: Query) -> SearchKind:
    """What a query costs while its answer is sent as a stream."""
    if query.name and query.ids:
        return SearchKind.KEYS
    return SearchKind.SORT if query.order_by else SearchKind.SCAN


class QueryTurns:
    """Places for answers. A caller has a share of them, whichever service it asks."""

    def __init__(self, shards: ShardMap) -> None:
        """Start with all of them free; the view of `shards` says who is a member."""
        self._shards = shards
        self._turns = SearchTurns(
            {
                SearchKind.KEYS: LOOKUPS_AT_ONCE,
                SearchKind.SCAN: SCANS_AT_ONCE,
                SearchKind.SORT: ORDERED_STREAMS_AT_ONCE,
                SearchKind.WHOLE: ANSWERS_MADE_AT_ONCE,
            }
        )

    @property
    def held(self) -> int:
        """How many answers have a place now."""
        return self._turns.held

    @asynccontextmanager
    async def streaming(self, call: CallContext, kind: SearchKind) -> AsyncGenerator[Turn]:
        """Hold a place for an answer that is sent as a stream. Waits until there is one.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, when the client took too little while others waited.
        """
        caller = caller_of(call, self._shards.view.members)
        # The budget of its replies stands for the connection of a call.
        async with self._turns.hold(kind, caller, call.replies) as turn:
            # Each kind is a use of its own: an answer by key waits behind no other one.
            async with holding(call.replies.memory, f"answers: {kind.value}", ANSWER_BYTES[kind]):
                yield turn

    @asynccontextmanager
    async def making(self, call: CallContext, query: Query) -> AsyncGenerator[None]:
        """Make one whole answer, once the caller has taken what it was sent before."""
        kind = kind_of(query)
        kind = kind if kind is SearchKind.KEYS else SearchKind.WHOLE
        while True:
            await call.replies.wait_room()
            async with self.streaming(call, kind):
                if call.replies.has_room:
                    yield
                    return
