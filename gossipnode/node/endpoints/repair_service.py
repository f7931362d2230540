"""RepairService: tree sessions that other replicas open with this node, by the compatible protocol.

What a message means is decided in `core.session`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from gossipnode.concurrency.memory_room import holding
from gossipnode.core.model.arrival import Arrival
from gossipnode.core.model.property import ShardId
from gossipnode.core.session.commands import SessionEnd
from gossipnode.core.session.lanes import stamp_max
from gossipnode.core.session.messages import ClientMessage, ServerMessage, TreeRoot
from gossipnode.core.session.reconcile.reconcile_messages import ReconcileMessage
from gossipnode.core.session.reconcile.reconcile_sides import ReconcileServer
from gossipnode.core.session.tree_server import TreeServer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.node_state import NodeState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.callers import caller_of
from gossipnode.node.peers.foreign_rules import FOREIGN_MESSAGE_MAX_BYTES, foreign_peer
from gossipnode.node.refusals.error_status import as_status
from gossipnode.node.repair.foreign.foreign_witness import ForeignWitness, SeenSession
from gossipnode.node.repair.repair_stream import (
    REPAIR_BATCH_MESSAGES,
    RepairStream,
    Session,
    SessionReads,
)
from gossipnode.node.repair.session_runs import SessionBounds
from gossipnode.node.repair.session_slots import Purpose, SessionSlots
from gossipnode.node.repair.shard_store import (
    CallerView,
    ReconcileReads,
    ShardStore,
    TranslatedStore,
    TreeReads,
)
from gossipnode.observe.events import Events, SessionEnded
from gossipnode.observe.traces.traces import NO_TRACES, OpenSpan, Traces
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.wire import services
from gossipnode.wire.property.canonical_json import Spacing, leaf_digest, other_spacing

OPENING_SECONDS = 10.0
"""How long a client may take to begin its session. An honest one does so as it opens the stream."""

CLIENT_SILENCE_SECONDS = 300.0
"""How long the client of a session may say nothing, and read nothing, before its slot is given to another."""


SPOKEN_MAX_CALLERS = 64
"""Foreign callers of which it is remembered how they write the JSON of their leaves."""

SESSION_BYTES = 4 << 20
"""What a session counts for in the budget of memory: pages of leaves, records on their way to the store."""


class ServedSession(Session[Any, Any], Protocol):
    """The server's side of a session."""

    @property
    def shard(self) -> ShardId | None:
        """The shard that the client asked for; None as long as it has said nothing."""
        ...

    @property
    def found_equal(self) -> bool:
        """Whether the roots were found to be equal: then it does not matter how the client leaves."""
        ...


class RepairService:
    """Serves sessions of other replicas."""

    def __init__(
        self,
        local: LocalState,
        bounds: SessionBounds,
        witness: ForeignWitness,
        state: NodeState,
        *,
        max_sessions: int,
        events: Events | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        """Sessions of foreign clients are told to `witness`.

        `max_sessions` bounds the sessions that one caller has with us at once, over all shards.

        While several callers have sessions, each has fewer, see `SessionSlots`. `events` is told of each, and
        `traces` of those of hops that are traced.
        """
        self._traces = traces
        self._local = local
        self._bounds = bounds
        self._witness = witness
        self._state = state
        self._events = events or Events()
        self._slots = SessionSlots(max_sessions)
        self._spoken: dict[str, Spacing] = {}
        self._log = structlog.get_logger("gossipnode.session")

    def handlers(self) -> Mapping[Any, Any]:
        """The handlers by method."""
        return {services.REPAIR: self.repair, services.RECONCILE: self.reconcile}

    async def repair(self, stream: ServerStream[ClientMessage, ServerMessage]) -> None:
        """Serve one tree session; refused at once when all slots are taken, or the caller's share of them."""
        foreign = _is_foreign(stream.call)
        if foreign:
            stream.take_messages_up_to(FOREIGN_MESSAGE_MAX_BYTES)
        caller = caller_of(stream.call, self._local.shards.view.members).name
        spoken = self._spoken.get(caller, self._bounds.leaf_json) if foreign else self._bounds.leaf_json
        session = self._tree_session(spoken, foreign=foreign)
        reads = TreeReads(session, self._tree_store(spoken, stream.call))
        await self._admit(stream, session, reads, "tree_root")
        if foreign:
            self._learn(caller, session, spoken)

    async def reconcile(self, stream: ServerStream[ReconcileMessage, ReconcileMessage]) -> None:
        """Serve one reconcile session, within the same slots."""
        if not self._local.item_indexes.have_key:
            raise RpcError(Status.UNIMPLEMENTED, "this cluster has no key for digests")
        session = ReconcileServer(self._local.shards.groups)
        await self._admit(stream, session, ReconcileReads(session, self._store_for(stream.call)), "opening")

    def _store_for(self, call: CallContext) -> ShardStore:
        return ShardStore(self._local, caller=_caller_view(call), arrival=self._arrival(call))

    def _arrival(self, call: CallContext) -> Arrival:
        """How the records of a session come: from a member of this name, or from an address."""
        said = call_metadata.text(call.metadata, call_metadata.NODE)
        members = self._local.shards.view.members
        caller = said if said in members else caller_of(call, members).name
        return call_metadata.arrival_of(call.metadata, caller)

    async def _admit(
        self,
        stream: ServerStream[Any, Any],
        session: ServedSession,
        reads: SessionReads[Any],
        first_said: str,
    ) -> None:
        if self._state.stopping.is_set():
            raise RpcError(Status.UNAVAILABLE, "the node is stopping")
        with self._place(stream.call, Purpose.UNSAID):
            first = await _first_messages(
                stream, min(OPENING_SECONDS, self._bounds.deadline_seconds), first_said
            )
        shard = self._shard_of(first) if _is_foreign(stream.call) else None
        if shard is not None:
            await self._witness.let_in(shard)
        with self._place(stream.call, _purpose(stream.call, first)), self._seen(shard) as seen:
            async with holding(stream.call.replies.memory, "sessions", SESSION_BYTES):
                with self._span(stream.call):
                    await self._serve(_ReadAhead(stream, first), session, reads, seen)

    def _span(self, call: CallContext) -> OpenSpan:
        """The part that this node has in a hop."""
        facts = {
            "gossipnode.round": call_metadata.text(call.metadata, call_metadata.ROUND),
            "gossipnode.peer": call_metadata.text(call.metadata, call_metadata.NODE),
        }
        return self._traces.follow("session", facts, call_metadata.traceparent(call.metadata), serves=True)

    def _shard_of(self, first: Sequence[Any]) -> ShardId | None:
        """The shard that a tree session is about."""
        root = first[0] if first else None
        return (
            self._local.shards.current(ShardId(root.group, root.shard))
            if isinstance(root, TreeRoot)
            else None
        )

    @contextmanager
    def _seen(self, shard: ShardId | None) -> Generator[SeenSession]:
        """What is seen of the session of a foreign client, if it is one."""
        if shard is None:
            yield SeenSession()
        else:
            with self._witness.foreign_session(shard) as seen:
                yield seen

    @contextmanager
    def _place(self, call: CallContext, purpose: Purpose) -> Generator[None]:
        place = self._slots.admit(caller_of(call, self._local.shards.view.members), purpose)
        if isinstance(place, str):
            raise RpcError(Status.RESOURCE_EXHAUSTED, place)
        try:
            yield
        finally:
            self._slots.free(place)

    def _tree_store(self, spoken: Spacing, call: CallContext) -> ShardStore:
        if spoken == self._bounds.leaf_json:
            return self._store_for(call)
        digest = partial(leaf_digest, spacing=spoken)
        return TranslatedStore(self._local, None, digest, self._arrival(call))

    def _learn(self, caller: str, session: TreeServer, spoken: Spacing) -> None:
        """Remember how a foreign client seems to write the JSON of its leaves, for its next session."""
        if session.heard_other_dialect:
            self._spoken.pop(caller, None)
            self._spoken[caller] = other_spacing(spoken)
            if len(self._spoken) > SPOKEN_MAX_CALLERS:
                del self._spoken[next(iter(self._spoken))]

    def _tree_session(self, spoken: Spacing, *, foreign: bool) -> TreeServer:
        bounds = self._bounds
        rules = foreign_peer(self._local.clock, bounds.foreign_retention_seconds, spoken)
        return TreeServer(
            self._local.shards.groups,
            page_leaves=bounds.page_leaves,
            stamp_max=stamp_max(foreign=foreign),
            foreign=rules if foreign else None,
        )

    async def _serve(
        self, stream: _ReadAhead, session: ServedSession, reads: SessionReads[Any], seen: SeenSession
    ) -> None:
        log = self._log.bind(
            peer=call_metadata.text(stream.call.metadata, call_metadata.NODE) or stream.call.peer,
            round=call_metadata.text(stream.call.metadata, call_metadata.ROUND),
            hop=call_metadata.text(stream.call.metadata, call_metadata.HOP),
        )
        began = trio.current_time()
        outcome = "broken"
        try:
            # The caller may have a later deadline or no deadline, but must not hold the slot for ever.
            with as_status(), _deadline(self._bounds.deadline_seconds):
                end = await RepairStream(
                    stream,
                    session,
                    reads,
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
            # A foreign client ends an equal session at once, and may reset it before we have ended it.
            outcome = SessionEnd.EQUAL.value if session.found_equal else outcome
            shard = session.shard or ShardId("", 0)
            seconds = trio.current_time() - began
            seen.note(outcome, session.counts)
            if not _is_foreign(stream.call):
                self._witness.own_session_ended(shard)
            log.info(
                "session served",
                group=shard.group[:80],
                shard=shard.shard,
                outcome=outcome,
                sent=session.counts.sent,
                received=session.counts.received,
                skipped=session.counts.skipped,
                reason=session.counts.reasons_text(),
                seconds=round(seconds, 3),
            )
            self._tell(stream, session, shard, seconds)

    def _tell(self, stream: _ReadAhead, session: ServedSession, shard: ShardId, seconds: float) -> None:
        """Tell of a session. Which group it names is up to the caller: one that is not here is not named."""
        counts = session.counts
        self._events.tell(
            SessionEnded(
                "reconcile" if isinstance(session, ReconcileServer) else "tree",
                shard.group if shard.group in self._local.shards.view.groups else "",
                shard.shard,
                caller_of(stream.call, self._local.shards.view.members).name,
                served=True,
                seconds=seconds,
                sent=counts.sent,
                received=counts.received,
                bytes_sent=stream.bytes_sent,
                bytes_received=stream.bytes_received,
                skipped=counts.reasons,
            )
        )


def _is_foreign(call: CallContext) -> bool:
    """Whether the caller is a peer that is not ours: it does not say who it is."""
    return not call_metadata.text(call.metadata, call_metadata.NODE)


class _ReadAhead:
    """A stream whose first messages were read to see its purpose. `recv_batch` gives them once more."""

    def __init__(self, stream: ServerStream[Any, Any], first: Sequence[Any]) -> None:
        self.call = stream.call
        self.send_batch = stream.send_batch
        self._stream = stream
        self._first: Sequence[Any] | None = first

    @property
    def bytes_sent(self) -> int:
        return self._stream.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._stream.bytes_received

    async def recv_batch(self, max_messages: int) -> Sequence[Any]:
        first, self._first = self._first, None
        return await self._stream.recv_batch(max_messages) if first is None else first


async def _first_messages(stream: ServerStream[Any, Any], seconds: float, expected: str) -> Sequence[Any]:
    try:
        with trio.fail_after(seconds):
            return await stream.recv_batch(REPAIR_BATCH_MESSAGES)
    except trio.TooSlowError:
        reason = f"the client said nothing for {seconds:g} s: expected {expected}"
        raise RpcError(Status.DEADLINE_EXCEEDED, reason) from None


def _purpose(call: CallContext, first: Sequence[Any]) -> Purpose:
    """What the session is for. A caller may lie about it, so a share bounds each purpose."""
    return Purpose.CLUSTER if call_metadata.text(call.metadata, call_metadata.FENCE) else Purpose.ROUND


def _caller_view(call: CallContext) -> CallerView:
    return CallerView(
        incarnation=call_metadata.text(call.metadata, call_metadata.INCARNATION),
        fence=call_metadata.text(call.metadata, call_metadata.FENCE),
        node=call_metadata.text(call.metadata, call_metadata.NODE),
        marks=call_metadata.marks_of(call.metadata),
    )


@contextmanager
def _deadline(seconds: float) -> Generator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise RpcError(Status.DEADLINE_EXCEEDED, f"the session is not over after {seconds:g} s") from None
