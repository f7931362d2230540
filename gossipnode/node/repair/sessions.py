"""Sessions that this node opens with other members.

Two of our own nodes reconcile; with a foreign peer, or where the other side does not know how, they compare
trees. What goes wrong with a peer becomes the outcome of the session, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.retention.marks import NO_MARKS
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.core.session.foreign_peer import ForeignPeer
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.foreign_rules import foreign_peer
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.retention.meetings import Meetings
from gossipnode.node.repair.session_runs import (
    About,
    ReconcileRun,
    SessionBounds,
    SessionRun,
    SurveyRun,
    TreeRun,
)
from gossipnode.node.repair.shard_store import MEET_FIRST, ShardStore, TranslatedStore
from gossipnode.observe.events import Events, SessionEnded
from gossipnode.store.interface import StoreError
from gossipnode.wire.property.canonical_json import leaf_digest, other_spacing


class Sessions:
    """Opens sessions with other members."""

    def __init__(
        self, local: LocalState, members: Members, bounds: SessionBounds, events: Events | None = None
    ) -> None:
        """Compare what `local` holds with what `members` hold. `events` is told of each session."""
        self._events = events or Events()
        self._local = local
        self._members = members
        self._bounds = bounds
        self.meetings = Meetings(local, members)

    async def compare(
        self, peer: Peer, shard: ShardId, metadata: Mapping[str, str], *, leaving: bool = False
    ) -> Hop:
        """One session with a member. With `leaving`, this node hands over a shard that it no longer holds."""
        began = trio.current_time()
        group = self._local.shards.view.groups.get(shard.group)
        if group is None:
            # It was deleted while the session waited for its turn.
            reason = f"there is no group {shard.group!r} any more"
            return Hop(self._members.own_name, peer.name, HopEnd.FAILED, reason)
        needs_meeting = not peer.foreign and self._local.retention.needs_meeting(shard)
        if needs_meeting and (reason := await self._meet(peer, shard)):
            return Hop(self._members.own_name, peer.name, HopEnd.SKIPPED, reason)
        run, (end, reason) = await self._run(peer, shard, group.shards, metadata, leaving=leaving)
        if end is HopEnd.SKIPPED and MEET_FIRST in reason:
            if reason := await self._meet(peer, shard):
                return Hop(self._members.own_name, peer.name, HopEnd.SKIPPED, reason)
            run, (end, reason) = await self._run(peer, shard, group.shards, metadata, leaving=leaving)
        counts = run.counts
        if not reason and counts.skipped:
            reason = f"left out: {counts.reasons_text()}"
        seconds = trio.current_time() - began
        self._events.tell(
            SessionEnded(
                run.kind,
                shard.group,
                shard.shard,
                peer.name,
                served=False,
                seconds=seconds,
                sent=counts.sent,
                received=counts.received,
                bytes_sent=run.bytes_sent,
                bytes_received=run.bytes_received,
                skipped=counts.reasons,
            )
        )
        return Hop(
            self._members.own_name,
            peer.name,
            end,
            reason,
            session=run.kind,
            sent=counts.sent,
            received=counts.received,
            skipped=counts.skipped,
            bytes_sent=run.bytes_sent,
            bytes_received=run.bytes_received,
            seconds=seconds,
        )

    async def _meet(self, peer: Peer, shard: ShardId) -> str:
        """Meet a peer before a session; gives why the session is not possible, or ""."""
        try:
            return (await self.meetings.meet(peer, shard)).problem
        except (StoreError, OSError) as error:
            return f"own store: {error}"

    async def _run(
        self, peer: Peer, shard: ShardId, shards: int, metadata: Mapping[str, str], *, leaving: bool
    ) -> tuple[SessionRun, tuple[HopEnd, str]]:
        """The session that was possible with the peer, and how it ended."""
        about = self._about(peer, shard, shards, metadata)
        if self._may_reconcile(peer):
            reconcile = ReconcileRun(about, self._store(about, leaving=leaving))
            outcome = await reconcile.outcome()
            if not reconcile.not_possible:
                return reconcile, outcome
        run = TreeRun(about, *self._sides(about, leaving=leaving))
        outcome = await run.outcome()
        if run.other_dialect:
            peer.leaf_json = other_spacing(peer.leaf_json or self._bounds.leaf_json)
            run = TreeRun(about, *self._sides(about, leaving=leaving))
            outcome = await run.outcome()
            if run.other_dialect:
                peer.leaf_json = other_spacing(peer.leaf_json)
                outcome = HopEnd.FAILED, "it writes the JSON of its leaves in both ways"
        return run, outcome

    async def survey(self, member: str, shard: ShardId) -> tuple[SurveyRun | None, str]:
        """Find what differs from a member, and exchange nothing; or the reason why that is not possible."""
        peer = self._members.peers.get(member)
        group = self._local.shards.view.groups.get(shard.group)
        if peer is None or group is None:
            return None, f"{member!r} is no other member"
        if not self._may_reconcile(peer):
            return None, f"{member} compares trees alone"
        about = self._about(peer, shard, group.shards, self._members.metadata)
        run = SurveyRun(about, self._store(about, leaving=False))
        _, reason = await run.outcome()
        if run.not_possible:
            reason = f"{member} compares trees alone"
        return (None, reason) if reason else (run, "")

    def _may_reconcile(self, peer: Peer) -> bool:
        return not peer.foreign and not peer.lacks_reconcile and self._local.item_indexes.have_key

    def _about(self, peer: Peer, shard: ShardId, shards: int, metadata: Mapping[str, str]) -> About:
        marks = self._local.retention.marks(shard)
        own_metadata = {**metadata, call_metadata.INCARNATION: str(shard.incarnation)}
        if marks != NO_MARKS:
            own_metadata[call_metadata.MARKS] = call_metadata.marks_text(marks)
        return About(peer, shard, shards, self._bounds, own_metadata)

    def _store(self, about: About, *, leaving: bool) -> ShardStore:
        arrival = call_metadata.arrival_of(about.metadata, about.peer.name)
        marks = call_metadata.marks_of(about.metadata)
        return ShardStore(self._local, about.shard, leaving=leaving, arrival=arrival, marks=marks)

    def _sides(self, about: About, *, leaving: bool) -> tuple[ShardStore, ForeignPeer | None]:
        """Our own shard as the session compares it, and what the session is to know of a foreign peer."""
        peer = about.peer
        if not peer.foreign:
            return self._store(about, leaving=leaving), None
        spoken = peer.leaf_json or self._bounds.leaf_json
        rules = foreign_peer(self._local.clock, self._bounds.foreign_retention_seconds, spoken)
        if spoken == self._bounds.leaf_json:
            return self._store(about, leaving=leaving), rules
        arrival = call_metadata.arrival_of(about.metadata, peer.name)
        digest = partial(leaf_digest, spacing=spoken)
        return TranslatedStore(self._local, about.shard, digest, arrival), rules
