"""The property service of the compatible protocol. Any node answers for the whole cluster."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from gossipnode.core.model.property import Entity
from gossipnode.node.coordinate.coordination import Coordination
from gossipnode.node.coordinate.request_log import lines_name
from gossipnode.node.endpoints.record_sender import QueryTimer, new_trace_id
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.query.delete_by_name import delete_by_name
from gossipnode.node.query.queries import Queries
from gossipnode.node.query.query_turns import QueryTurns
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.refusals.request_errors import QueryTooLargeError
from gossipnode.node.search.search_turns import SearchKind
from gossipnode.rpc import CallContext
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.query.query_codec import decode_query, encode_answer
from gossipnode.wire.record_codec import (
    decode_strategy,
    encode_compatible_applied,
    encode_compatible_deleted,
)

REPLY_MAX_BYTES = 4 << 20
REPLY_RECORD_OVERHEAD_BYTES = 5
"""The size of a unary reply, and what each record takes of it beside its own bytes: a field key and a length.

A message of a stream ends well below that, at `STREAM_MESSAGE_BYTES`.
"""


class PropertyService:
    """Apply, Delete and Query of the compatible service.

    The call metadata `gossipnode-ack` asks for an acknowledgement level. By `gossipnode-request-id` a retry
    is recognised as one.
    """

    def __init__(
        self,
        local: LocalState,
        coordination: Coordination,
        queries: Queries,
        turns: QueryTurns,
        rng: random.Random,
    ) -> None:
        """Have requests carried out by these; `rng` gives the ids of traces."""
        self._own_name = local.own_name
        self._shards = local.shards
        self._clock = local.clock
        self._coordinator = coordination.coordinator
        self._bulk = coordination.bulk
        self._queries = queries
        self._rng = rng
        self._turns = turns

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.APPLY: self.apply,
            services.DELETE: self.delete,
            services.QUERY: self.query,
        }

    async def apply(self, request: banyandb.ApplyRequest, call: CallContext) -> banyandb.ApplyResponse:
        """Create or change a record."""
        request_id = call_metadata.text(call.metadata, call_metadata.REQUEST_ID)
        lines_name(request_id)
        with as_status():
            applied = await self._coordinator.apply(
                request.property,
                replace=decode_strategy(request.strategy),
                ack=_ack(call),
                request_id=request_id,
                caller=caller_of(call, self._shards.view.members),
            )
        return encode_compatible_applied(applied.record, created=applied.created)

    async def delete(self, request: banyandb.DeleteRequest, call: CallContext) -> banyandb.DeleteResponse:
        """Delete a record, or with an empty id every record of a group and name."""
        with as_status():
            if not request.id:
                async with self._turns.streaming(call, SearchKind.SCAN):
                    deleted = await delete_by_name(
                        self._queries, self._bulk, request.group, request.name, _ack(call)
                    )
                return encode_compatible_deleted(deleted > 0)
            entity = Entity(request.group, request.name, request.id)
            request_id = call_metadata.text(call.metadata, call_metadata.REQUEST_ID)
            lines_name(request_id)
            done = await self._coordinator.delete(entity, ack=_ack(call), request_id=request_id)
            return encode_compatible_deleted(done.tombstone is not None)

    async def query(self, request: banyandb.QueryRequest, call: CallContext) -> banyandb.QueryResponse:
        """Answer a query in one message."""
        properties: list[bytes] = []
        size = 0
        timer = QueryTimer(self._clock.now, trace_id := new_trace_id(self._rng))
        lines_name(trace_id)
        with as_status():
            query = decode_query(request, ack=_ack(call))
            async with self._turns.making(call, query), self._queries.open(query) as answer:
                while (page := await answer.next_page()) is not None:
                    properties += [record.payload for record in page]
                    size += sum(len(record.payload) + REPLY_RECORD_OVERHEAD_BYTES for record in page)
                    if size > REPLY_MAX_BYTES:
                        raise QueryTooLargeError(
                            f"the answer is over {REPLY_MAX_BYTES} bytes: ask for fewer records, or tags"
                        )
        trace = None
        if request.trace:
            trace = timer.trace(self._own_name, answer.trace, len(properties))
        return encode_answer(properties, trace)


def _ack(call: CallContext) -> str:
    return call_metadata.text(call.metadata, call_metadata.ACK)
