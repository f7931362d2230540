"""The other members as a holder meets them: repair with one, hand it the message, report to an origin.

Names are looked up in our own membership; whatever goes wrong with a peer becomes an outcome, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
import trio

from gossipnode.core.model.errors import SessionViolationError
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop, InSession, Report
from gossipnode.core.ring.turn import HopEnd, RoundMessage
from gossipnode.core.session.commands import SessionCounts, SessionEnd
from gossipnode.core.session.messages import ClientMessage, ServerMessage
from gossipnode.core.session.tree_client import TreeClient
from gossipnode.node.local.shards import Shards
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.repair_stream import RepairStream, ShardStore
from gossipnode.node.request_errors import ShardGoneError
from gossipnode.rpc import ClientStream, RetryPolicy, RpcError, Status
from gossipnode.rpc.status import NO_METADATA
from gossipnode.store.interface import StoreError
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.round_codec import encode_report
from gossipnode.wire.services import PROPAGATION, REPAIR, REPORT

SERVER_END_SECONDS = 60.0
"""How long a client of a session, done itself, waits in silence for the server to end the stream."""

VERDICT_END_SECONDS = 5.0
"""How long it waits for that when the verdict on the roots was all there was to say."""

PROPAGATION_SECONDS = 10.0
"""How long one call of Propagation may take: it is answered at once, the work goes on behind it."""

PROPAGATION_ATTEMPTS = 5
PROPAGATION_RETRY_MIN_SECONDS = 0.5
PROPAGATION_RETRY_MAX_SECONDS = 10.0
"""A Propagation call that meets UNAVAILABLE is retried 4 times."""

REPORT_SECONDS = 5.0
REPORT_ATTEMPTS = 3
REPORT_RETRY_MIN_SECONDS = 0.2
REPORT_RETRY_MAX_SECONDS = 2.0

REPORT_QUEUE_MESSAGES = 4096
"""Reports on their way to one origin. Over it new ones are dropped: an origin copes with silence.

Signs of life leave the second half of it to what matters.
"""

_PROPAGATION_RETRY = RetryPolicy(
    statuses=frozenset([Status.UNAVAILABLE]),
    attempts=PROPAGATION_ATTEMPTS,
    min_seconds=PROPAGATION_RETRY_MIN_SECONDS,
    max_seconds=PROPAGATION_RETRY_MAX_SECONDS,
)
_REPORT_RETRY = RetryPolicy(
    statuses=frozenset([Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED]),
    attempts=REPORT_ATTEMPTS,
    min_seconds=REPORT_RETRY_MIN_SECONDS,
    max_seconds=REPORT_RETRY_MAX_SECONDS,
)
_NOT_BEGUN = frozenset(
    [
        Status.UNAVAILABLE,
        Status.UNIMPLEMENTED,
        Status.PERMISSION_DENIED,
        Status.UNAUTHENTICATED,
        Status.FAILED_PRECONDITION,
    ]
)
"""Statuses that say, before the root was judged, that no session came about."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The bounds of a session, from the configuration."""

    deadline_seconds: float
    page_leaves: int


class RingPeers:
    """Repairs with peers, hands them messages, reports to origins."""

    def __init__(
        self,
        members: Members,
        shards: Shards,
        origin: Origin,
        settings: SessionSettings,
    ) -> None:
        """Meet `members`, over the records of `shards`."""
        self._members = members
        self._shards = shards
        self._origin = origin
        self._settings = settings
        # A queue for each origin: one that does not answer must not delay what others wait for.
        self._reports: dict[str, trio.MemorySendChannel[Report]] = {}
        self._reporting: trio.Nursery | None = None
        self._no_more_reports = trio.Event()
        self._log = structlog.get_logger("gossipnode.ring")

    # Repair

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        """One session with a peer; whatever happens becomes the hop's outcome."""
        member = self._members.peers.get(peer)
        if member is None:
            return Hop(self._members.own_name, peer, HopEnd.SKIPPED, "no member of this cluster")
        metadata = {**self._call_metadata(message), call_metadata.HOP: str(message.count + 1)}
        return await self.session(member, message.shard, metadata)

    async def session(
        self, member: Peer, shard: ShardId, metadata: Mapping[str, str], *, leaving: bool = False
    ) -> Hop:
        """One session with a member, outside a round too; `leaving`: over a shard that we hold no more."""
        began = trio.current_time()
        own_metadata = {**metadata, call_metadata.INCARNATION: str(shard.incarnation)}
        store = self._shards.session_store(shard, leaving=leaving)
        shards = self._shards.shard_count(shard.group)
        run = _ClientRun(member, shard, store, shards, self._settings, own_metadata)
        end, reason = await run.outcome()
        counts = run.counts
        if not reason and counts.skipped:
            reason = f"left out: {reasons_text(counts.reasons)}"
        return Hop(
            self._members.own_name,
            member.name,
            end,
            reason,
            sent=counts.sent,
            received=counts.received,
            skipped=counts.skipped,
            bytes_sent=run.bytes_sent,
            bytes_received=run.bytes_received,
            seconds=trio.current_time() - began,
        )

    # Propagation

    async def propagate(self, peer: str, message: RoundMessage) -> tuple[str, bool]:
        """Hand a message on: why it was not taken ("" when it was), and whether the peer is foreign."""
        member = self._members.peers.get(peer)
        if member is None:
            return "no member of this cluster", False
        request = banyandb.PropagationRequest(
            context=banyandb.PropagationContext(
                nodes=list(message.nodes),
                max_propagation_count=message.limit,
                current_propagation_count=message.count,
                origin_node=message.origin,
            ),
            group=message.shard.group,
            shard_id=message.shard.shard,
        )
        try:
            result = await member.channel.unary_call(
                PROPAGATION,
                request,
                timeout=PROPAGATION_SECONDS * PROPAGATION_ATTEMPTS,
                metadata=self._call_metadata(message),
                dial_now=True,
                retry=_PROPAGATION_RETRY,
            )
        except RpcError as error:
            member.failed(error)
            return str(error), False
        member.answered()
        metadata = {**result.initial_metadata, **result.trailing_metadata}
        return "", not call_metadata.text(metadata, call_metadata.NODE)

    def _call_metadata(self, message: RoundMessage) -> dict[str, str]:
        metadata = {**self._members.metadata, call_metadata.CAUSE: message.cause.value}
        if message.round:
            # A foreign peer does not pass it on, and no metadata goes without a value.
            metadata[call_metadata.ROUND] = message.round
        return metadata

    # Reports

    def tell(self, origin: str, report: Report) -> None:
        """Send a report to a round's origin, without waiting for it."""
        if origin == self._members.own_name:
            self._origin.report(report)
            return
        queue = self._reports.get(origin) or self._open_queue(origin)
        if queue is None or (isinstance(report.then, InSession) and _half_full(queue)):
            return
        try:
            queue.send_nowait(report)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._log.warning("report dropped", peer=origin, round=report.round)

    def _open_queue(self, origin: str) -> trio.MemorySendChannel[Report] | None:
        if self._reporting is None or self._no_more_reports.is_set() or origin not in self._members.peers:
            return None
        sender, reports = trio.open_memory_channel[Report](REPORT_QUEUE_MESSAGES)
        self._reports[origin] = sender
        self._reporting.start_soon(self._send_reports_to, origin, reports)
        return sender

    async def send_reports(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what `tell` was given, until `stop_reports`, and then what is left."""
        async with trio.open_nursery() as nursery:
            self._reporting = nursery
            task_status.started()
            try:
                await self._no_more_reports.wait()
            finally:
                self._reporting = None

    def stop_reports(self) -> None:
        """Take no more reports; `send_reports` ends once it has sent those it has."""
        self._no_more_reports.set()
        for sender in self._reports.values():
            sender.close()

    async def _send_reports_to(self, origin: str, reports: trio.MemoryReceiveChannel[Report]) -> None:
        async with reports:
            async for report in reports:
                peer = self._members.peers.get(origin)
                if peer is not None:
                    await self._send_report(peer, report)

    async def _send_report(self, peer: Peer, report: Report) -> None:
        log = self._log.bind(peer=peer.name, round=report.round)
        try:
            await peer.channel.unary(
                REPORT,
                encode_report(report),
                timeout=REPORT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
                retry=_REPORT_RETRY,
            )
        except RpcError as error:
            peer.failed(error)
            if error.status is not Status.UNIMPLEMENTED:
                log.info("report not delivered", reason=str(error))
        except Exception:
            log.exception("sending a report failed")


def _half_full(sender: trio.MemorySendChannel[Report]) -> bool:
    return 2 * sender.statistics().current_buffer_used >= REPORT_QUEUE_MESSAGES


class _ClientRun:
    """One session that we open, from the tree to the server's end."""

    def __init__(
        self,
        peer: Peer,
        shard: ShardId,
        store: ShardStore,
        shards: int,
        settings: SessionSettings,
        metadata: Mapping[str, str],
    ) -> None:
        self.counts = SessionCounts()
        self.bytes_sent = 0
        self.bytes_received = 0
        self._peer = peer
        self._shard = shard
        self._store = store
        self._shards = shards
        self._settings = settings
        self._metadata = metadata
        self._stream: ClientStream[ClientMessage, ServerMessage] | None = None

    async def outcome(self) -> tuple[HopEnd, str]:
        """Run it; gives how it ended and why, if not well."""
        try:
            return await self._run()
        except RpcError as error:
            self._peer.failed(error)
            return self._failed(error)
        except SessionViolationError as error:
            return HopEnd.FAILED, f"protocol: {error}"
        except TimeoutError as error:
            return HopEnd.FAILED, str(error)
        except StoreError as error:
            return HopEnd.FAILED, f"own store: {error}"
        except ShardGoneError as error:
            return HopEnd.FAILED, str(error)
        except Exception:  # noqa: BLE001 - a defect becomes the outcome `internal`, logged with its traceback
            structlog.get_logger("gossipnode.ring").exception("session failed", peer=self._peer.name)
            return HopEnd.FAILED, "internal"
        finally:
            if self._stream is not None:
                self.bytes_sent = self._stream.bytes_sent
                self.bytes_received = self._stream.bytes_received

    async def _run(self) -> tuple[HopEnd, str]:
        tree = await self._store.tree(self._shard)
        if tree is None:
            return HopEnd.FAILED, "the holder itself has no tree"
        session = TreeClient(
            self._shard,
            self._shards,
            tree,
            page_leaves=self._settings.page_leaves,
        )
        self.counts = session.counts
        async with self._peer.channel.stream(
            REPAIR, timeout=self._settings.deadline_seconds, metadata=self._metadata, dial_now=True
        ) as stream:
            self._stream = stream
            end = await RepairStream(
                stream,
                session,
                self._store,
                half_close=stream.half_close,
                end_wait_seconds=SERVER_END_SECONDS,
            ).run()
            self._peer.answered()
            if end is not SessionEnd.REPAIRED:
                await _take_end(stream)
            if end is SessionEnd.NO_TREE:
                return HopEnd.SKIPPED, "no tree for the shard"
            if end is SessionEnd.EQUAL:
                return HopEnd.EQUAL, ""
            self._add_skipped_there(call_metadata.text(stream.trailing_metadata, call_metadata.SKIPPED))
        return HopEnd.REPAIRED, ""

    def _add_skipped_there(self, said: str) -> None:
        """What an own server had to leave out, which the compatible messages cannot say."""
        if said.isascii() and said.isdecimal() and len(said) < 10 and int(said):
            self.counts.skip("at the peer", int(said))

    def _failed(self, error: RpcError) -> tuple[HopEnd, str]:
        judged = self._stream is not None and self._stream.bytes_received > 0
        if judged:
            return HopEnd.FAILED, str(error)
        if error.status is Status.RESOURCE_EXHAUSTED and error.trailing_metadata is not NO_METADATA:
            # Said by the peer: without its trailers it is a limit of ours that it has broken.
            return HopEnd.BUSY, str(error)
        if error.status in _NOT_BEGUN or self._stream is None:
            return HopEnd.SKIPPED, str(error)
        return HopEnd.FAILED, str(error)


async def _take_end(stream: ClientStream[ClientMessage, ServerMessage]) -> None:
    """Let a server that has given its verdict end the stream: many resets would look like abuse."""
    with trio.move_on_after(VERDICT_END_SECONDS):
        try:
            await stream.finish()
        except RpcError:
            # The session is over: a foreign peer without a tree ends it with an error.
            return


def reasons_text(reasons: Mapping[str, int]) -> str:
    """`2 not storable, 1 of another group or shard`."""
    return ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
