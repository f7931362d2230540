"""RepairService: tree sessions that other replicas open with this node, by the compatible protocol.

Thin: decode, check, call, encode. What a message means is decided in `core.session`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.session.lanes import stamp_max
from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.node_state import NodeState
from gossipnode.node.peers import call_metadata
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.repair.repair_stream import RepairStream
from gossipnode.node.repair.sessions import SessionBounds, reasons_text
from gossipnode.node.repair.shard_store import CallerView, ShardStore
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services

CLIENT_SILENCE_SECONDS = 120.0
"""How long the client of a session may say nothing, and read nothing, before its slot is given to another."""


class RepairService:
    """Serves sessions of other replicas."""

    def __init__(
        self, local: LocalState, bounds: SessionBounds, state: NodeState, *, max_sessions: int
    ) -> None:
        """`max_sessions` bounds the sessions that others open with us at once, over all shards."""
        self._local = local
        self._bounds = bounds
        self._state = state
        self._free_slots = max_sessions
        self._log = structlog.get_logger("gossipnode.session")

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.REPAIR: self.repair}

    async def repair(self, stream: ServerStream[ClientMessage, ServerMessage]) -> None:
        """Serve one tree session; refused at once when all slots are taken."""
        if self._state.stopping.is_set():
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        if self._free_slots == 0:
            raise RpcError(Status.RESOURCE_EXHAUSTED, "all session slots are taken: try again")
        self._free_slots -= 1
        try:
            await self._serve(stream)
        finally:
            self._free_slots += 1

    async def _serve(self, stream: ServerStream[ClientMessage, ServerMessage]) -> None:
        session = TreeServer(
            self._local.shards.groups,
            page_leaves=self._bounds.page_leaves,
            stamp_max=stamp_max(foreign=not call_metadata.text(stream.call.metadata, call_metadata.NODE)),
        )
        log = self._log.bind(
            peer=call_metadata.text(stream.call.metadata, call_metadata.NODE) or stream.call.peer,
            round=call_metadata.text(stream.call.metadata, call_metadata.ROUND),
            hop=call_metadata.text(stream.call.metadata, call_metadata.HOP),
        )
        began = trio.current_time()
        outcome = "broken"
        try:
            # The caller's own deadline may be later, or none: the slot must not be held for ever.
            with as_status(), _deadline(self._bounds.deadline_seconds):
                end = await RepairStream(
                    stream,
                    session,
                    ShardStore(self._local, caller=_caller_view(stream.call)),
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


def _caller_view(call: CallContext) -> CallerView:
    return CallerView(
        incarnation=call_metadata.text(call.metadata, call_metadata.INCARNATION),
        fence=call_metadata.text(call.metadata, call_metadata.FENCE),
    )


@contextmanager
def _deadline(seconds: float) -> Generator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise RpcError(Status.DEADLINE_EXCEEDED, f"the session is not over after {seconds:g} s") from None
