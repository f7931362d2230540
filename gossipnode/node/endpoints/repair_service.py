"""What other replicas ask by the compatible protocol: a session, or to hold a round's message.

Thin: decode, check, call, encode. What a message means is decided in `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import RoundMessage, check_message
from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.error_status import as_status
from gossipnode.node.local.shards import Shards
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.holder import RingRunner
from gossipnode.node.repair.repair_stream import RepairStream
from gossipnode.node.repair.ring_peers import SessionSettings, reasons_text
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb

CLIENT_SILENCE_SECONDS = 120.0
"""How long the client of a session may say nothing, and read nothing, before its slot is given to another."""

ROUND_ID_MAX_CHARACTERS = 64
"""Of another node's round: what is longer is cut."""


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
                    self._shards.session_store(None, check=partial(self._check_view, stream.call)),
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

    def _check_view(self, call: CallContext, shard: ShardId) -> None:
        """Refuse a session over another incarnation of a group, or one that fills a replica of another view.

        Raises:
            RpcError: FAILED_PRECONDITION, naming what differs.
        """
        own = self._members.own_name
        incarnation = call_metadata.text(call.metadata, call_metadata.INCARNATION)
        if incarnation and incarnation != str(shard.incarnation):
            raise RpcError(
                Status.FAILED_PRECONDITION, f"{own} has another incarnation of group {shard.group!r}"
            )
        fence = call_metadata.text(call.metadata, call_metadata.FENCE)
        if fence and fence != self._shards.placement(shard).fence.hex():
            raise RpcError(Status.FAILED_PRECONDITION, f"{own} sees other members for {shard}")

    async def propagation(
        self, request: banyandb.PropagationRequest, call: CallContext
    ) -> banyandb.PropagationResponse:
        """Take a round's message; answered at once, the work goes on behind it."""
        shard = self._shards.current(ShardId(request.group, request.shard_id))
        if shard is None:
            raise RpcError(
                Status.NOT_FOUND, f"this node holds no shard {request.group[:80]!r}/{request.shard_id}"
            )
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
