"""The other members as the holder of a round's message meets them.

Names are looked up among our own members. What goes wrong with a peer becomes an outcome, never an error.
"""

from __future__ import annotations

from gossipnode.core.ring.foreign_turn import ForeignTurn
from gossipnode.core.ring.round import Hop, Report
from gossipnode.core.ring.turn import HopEnd, RoundMessage
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.absence import why_absent
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.foreign.foreign_holders import ForeignHolders
from gossipnode.node.repair.holder import Handed
from gossipnode.node.repair.reports import Reports
from gossipnode.node.repair.sessions import Sessions
from gossipnode.rpc import RetryPolicy, RpcError, Status
from gossipnode.wire.generated.bp.banyandb.property import v1 as banyandb
from gossipnode.wire.services import PROPAGATION

PROPAGATION_SECONDS = 20.0
"""How long a call of Propagation may take with all its retries: it is answered before the work is done."""

PROPAGATION_ATTEMPTS = 5
PROPAGATION_RETRY_MIN_SECONDS = 0.5
PROPAGATION_RETRY_MAX_SECONDS = 10.0
"""A Propagation call that meets UNAVAILABLE is retried 4 times."""

_PROPAGATION_RETRY = RetryPolicy(
    statuses=frozenset([Status.UNAVAILABLE]),
    attempts=PROPAGATION_ATTEMPTS,
    min_seconds=PROPAGATION_RETRY_MIN_SECONDS,
    max_seconds=PROPAGATION_RETRY_MAX_SECONDS,
)


class Neighbours:
    """Repairs with a successor, hands it the message, reports to the origin."""

    def __init__(
        self, members: Members, sessions: Sessions, reports: Reports, foreign: ForeignHolders
    ) -> None:
        """Meet `members` by `sessions`, and tell origins by `reports`. `foreign` sees the foreign holders."""
        self._members = members
        self._sessions = sessions
        self._reports = reports
        self._foreign = foreign

    async def repair(self, peer: str, message: RoundMessage) -> Hop:
        """One session with a peer. What goes wrong becomes the outcome of the hop."""
        member = self._members.peers.get(peer)
        if member is None:
            return Hop(self._members.own_name, peer, HopEnd.SKIPPED, "no member of this cluster")
        if absent := await why_absent(member):
            return Hop(self._members.own_name, peer, HopEnd.SKIPPED, absent)
        metadata = {**self._call_metadata(message, member), call_metadata.HOP: str(message.count + 1)}
        return await self._sessions.compare(member, message.shard, metadata)

    def tell(self, origin: str, report: Report) -> None:
        """Send a report to a round's origin, without waiting for it."""
        self._reports.tell(origin, report)

    async def hand_on(self, peer: str, message: RoundMessage) -> Handed:
        """Hand a message on, and wait for the hop of a foreign peer that has it now, if somebody sees it."""
        witness = await self._foreign.look_out(peer, message)
        problem, foreign = await self.propagate(peer, message)
        if problem or not foreign or not witness:
            return Handed(problem, foreign=foreign)
        return Handed("", foreign=True, seen=await self._foreign.outcome(witness, ForeignTurn(peer, message)))

    async def propagate(self, peer: str, message: RoundMessage) -> tuple[str, bool]:
        """Hand a message on. Gives why it was not taken ("" if it was), and whether the peer is foreign."""
        member = self._members.peers.get(peer)
        if member is None:
            return "no member of this cluster", False
        if absent := await why_absent(member):
            return absent, False
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
                timeout=PROPAGATION_SECONDS,
                metadata=self._call_metadata(message, member),
                dial_now=True,
                retry=_PROPAGATION_RETRY,
            )
        except RpcError as error:
            member.failed(error)
            if error.status is Status.DEADLINE_EXCEEDED:
                member.hangs()
            return str(error), False
        member.answered()
        metadata = {**result.initial_metadata, **result.trailing_metadata}
        return "", not call_metadata.text(metadata, call_metadata.NODE)

    def _call_metadata(self, message: RoundMessage, member: Peer) -> dict[str, str]:
        metadata = {**self._members.metadata, call_metadata.CAUSE: message.cause.value}
        if message.round:
            # A round that came by way of a foreign peer has no id, and metadata must not be empty.
            metadata[call_metadata.ROUND] = message.round
        if message.trace and not member.foreign:
            metadata[call_metadata.TRACEPARENT] = message.trace
        return metadata
