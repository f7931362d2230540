"""The services of the compatible protocol: sessions and propagation for replicas, properties for clients.

Thin: decode, check, call, encode. What a message means is decided in `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import structlog
import trio

from gossipnode.core.criteria import check_criteria
from gossipnode.core.messages import ClientMessage, ServerMessage
from gossipnode.core.property import Entity, ShardId
from gossipnode.core.ring import RoundMessage, check_message
from gossipnode.core.tree_server import TreeServer
from gossipnode.node import call_metadata
from gossipnode.node.client_requests import ClientRequests
from gossipnode.node.limits import (
    CLIENT_SILENCE_SECONDS,
    REPLY_MAX_BYTES,
    REPLY_RECORD_OVERHEAD_BYTES,
    ROUND_ID_MAX_CHARACTERS,
)
from gossipnode.node.members import Members
from gossipnode.node.queries import Query, QueryTooLargeError, run_query
from gossipnode.node.query_turns import QueryTurns
from gossipnode.node.repair_stream import RepairStream
from gossipnode.node.ring_peers import SessionSettings, reasons_text
from gossipnode.node.ring_runner import RingRunner
from gossipnode.node.shards import Shards
from gossipnode.node.statuses import as_status
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.criteria import decode_criteria
from gossipnode.wire.errors import WireError
from gossipnode.wire.generated.bp.banyandb.model import v1 as model
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.tables import make


class ReplicaEndpoint:
    """What other replicas ask: a session, or to hold a round's message."""

    def __init__(
        self,
        members: Members,
        shards: Shards,
        ring: RingRunner,
        *,
        max_sessions: int,
        settings: SessionSettings,
        draining: Callable[[], bool],
    ) -> None:
        """`max_sessions` bounds the sessions that others open with us at once, over all shards."""
        self._members = members
        self._shards = shards
        self._ring = ring
        self._free_slots = max_sessions
        self._settings = settings
        self._draining = draining
        self._log = structlog.get_logger("gossipnode.session")

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.REPAIR: self.repair, services.PROPAGATION: self.propagation}

    async def repair(self, stream: ServerStream[ClientMessage, ServerMessage]) -> None:
        """Serve one tree session; refused at once when all slots are taken."""
        if self._draining():
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        if self._free_slots == 0:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "all session slots are taken: try again")
        self._free_slots -= 1
        try:
            await self._serve(stream)
        finally:
            self._free_slots += 1

    async def _serve(self, stream: ServerStream[ClientMessage, ServerMessage]) -> None:
        session = TreeServer(self._shards.groups, page_leaves=self._settings.page_leaves)
        log = self._log.bind(
            peer=call_metadata.text(stream.call.metadata, call_metadata.NODE) or stream.call.peer,
            round=call_metadata.text(stream.call.metadata, call_metadata.ROUND),
            hop=call_metadata.text(stream.call.metadata, call_metadata.HOP),
        )
        began = trio.current_time()
        outcome = "broken"
        try:
            # The caller's own deadline may be later, or none: the slot must not be held for ever.
            with as_status(), _deadline(self._settings.deadline_seconds):
                end = await RepairStream(
                    stream,
                    session,
                    self._shards.session_store(None),
                    silence_seconds=CLIENT_SILENCE_SECONDS,
                ).run()
            outcome = end.value
            stream.call.trailing_metadata[call_metadata.SKIPPED] = str(session.counts.skipped)
        except TimeoutError as error:
            outcome = str(error)
            raise RpcError(Status.DEADLINE_EXCEEDED, outcome) from None
        except RpcError as error:
            outcome = str(error)
            raise
        finally:
            shard = session.shard or ShardId("", 0)
            log.info(
                "session served",
                group=shard.group[:80],
                shard=shard.shard,
                outcome=outcome,
                sent=session.counts.sent,
                received=session.counts.received,
                skipped=session.counts.skipped,
                reason=reasons_text(session.counts.reasons),
                seconds=round(trio.current_time() - began, 3),
            )

    async def propagation(
        self, request: banyandb.PropagationRequest, call: CallContext
    ) -> banyandb.PropagationResponse:
        """Take a round's message; answered at once, the work goes on behind it."""
        shard = ShardId(request.group, request.shard_id)
        if not self._shards.holds(shard):
            raise RpcError(Status.NOT_FOUND, f"this node holds no shard {request.group[:80]!r}/{shard.shard}")
        context = request.context
        message = RoundMessage(
            round=call_metadata.text(call.metadata, call_metadata.ROUND)[:ROUND_ID_MAX_CHARACTERS],
            shard=shard,
            origin=context.origin_node,
            nodes=tuple(context.nodes),
            count=context.current_propagation_count,
            cause=call_metadata.cause_of(call.metadata),
        )
        with as_status():
            checked = check_message(
                message,
                own_name=self._members.own_name,
                members=self._members.names,
                replicas=self._shards.replicas(shard),
            )
        if not self._ring.accepting:
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        call.trailing_metadata[call_metadata.NODE] = self._members.own_name
        self._ring.offer(checked)
        return banyandb.PropagationResponse()


@contextmanager
def _deadline(seconds: float) -> Generator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise RpcError(Status.DEADLINE_EXCEEDED, f"the session is not over after {seconds:g} s") from None


class PropertyEndpoint:
    """What clients of the compatible service ask. Served by this node alone."""

    def __init__(self, shards: Shards, requests: ClientRequests) -> None:
        """Serve `requests` over `shards`."""
        self._shards = shards
        self._requests = requests
        self._turns = QueryTurns()

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {
            services.APPLY: self.apply,
            services.DELETE: self.delete,
            services.QUERY: self.query,
        }

    async def apply(self, request: banyandb.ApplyRequest, call: CallContext) -> banyandb.ApplyResponse:
        """Create or change a record."""
        with as_status():
            applied = await self._requests.apply(request.property, replace=is_replace(request.strategy))
        # One of the two hottest calls: betterproto's constructor would take as long as the commit's share.
        return make(banyandb.ApplyResponse, created=applied.created, tags_num=applied.tag_count)

    async def delete(self, request: banyandb.DeleteRequest, call: CallContext) -> banyandb.DeleteResponse:
        """Delete a record, or with an empty id every record of a group and name."""
        with as_status():
            if not request.id:
                deleted = await self._requests.delete_all(request.group, request.name)
                return banyandb.DeleteResponse(deleted=deleted > 0)
            entity = Entity(request.group, request.name, request.id)
            return banyandb.DeleteResponse(deleted=await self._requests.delete(entity) is not None)

    async def query(self, request: banyandb.QueryRequest, call: CallContext) -> banyandb.QueryResponse:
        """Answer a query in one message."""
        properties: list[bytes] = []
        size = 0
        with as_status():
            query = decode_query(request)
            async with self._turns.making(call), aclosing(run_query(self._shards, query)) as pages:
                async for page in pages:
                    properties += [record.payload for record in page]
                    size += sum(len(record.payload) + REPLY_RECORD_OVERHEAD_BYTES for record in page)
                    if size > REPLY_MAX_BYTES:
                        raise QueryTooLargeError(
                            f"the answer is over {REPLY_MAX_BYTES} bytes: ask for fewer records, or tags"
                        )
        return banyandb.QueryResponse(properties=properties)


def is_replace(strategy: int) -> bool:
    """Whether a write takes the place of all stored tags. Unspecified is MERGE.

    Raises:
        WireError: the strategy is none that we know.
    """
    known = banyandb.ApplyRequestStrategy
    if strategy == known.STRATEGY_REPLACE:
        return True
    if strategy in (known.STRATEGY_UNSPECIFIED, known.STRATEGY_MERGE):
        return False
    raise WireError(f"strategy: expected MERGE or REPLACE, not {int(strategy)}")


def decode_query(request: banyandb.QueryRequest, *, after: Entity | None = None) -> Query:
    """The query of a request, going on behind `after`.

    Raises:
        WireError: names the field.
    """
    if not request.groups:
        raise WireError("groups: expected at least one")
    criteria = decode_criteria(request.criteria)
    return Query(
        groups=tuple(request.groups),
        name=request.name,
        ids=frozenset(request.ids),
        criteria=None if criteria is None else check_criteria(criteria),
        select=tuple(request.tag_projection),
        order_by=request.order_by.tag_name,
        descending=request.order_by.sort == model.Sort.DESC,
        limit=request.limit,
        after=after,
    )
