"""Sessions that this node opens with other members.

Two of our own nodes reconcile; with a foreign peer, or where the other side does not know how, they compare
trees. What goes wrong with a peer becomes the outcome of the session, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.foreign_rules import foreign_peer
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.session_runs import About, ReconcileRun, SessionBounds, SessionRun, TreeRun
from gossipnode.node.repair.shard_store import ShardStore


class Sessions:
    """Opens sessions with other members."""

    def __init__(self, local: LocalState, members: Members, bounds: SessionBounds) -> None:
        """Compare what `local` holds with what `members` hold."""
        self._local = local
        self._members = members
        self._bounds = bounds

    async def compare(
        self, peer: Peer, shard: ShardId, metadata: Mapping[str, str], *, leaving: bool = False
    ) -> Hop:
        """One session with a member. With `leaving`, this node hands over a shard that it no longer holds."""
        began = trio.current_time()
        own_metadata = {**metadata, call_metadata.INCARNATION: str(shard.incarnation)}
        store = ShardStore(self._local, shard, leaving=leaving)
        group = self._local.shards.view.groups.get(shard.group)
        if group is None:
            # It was deleted while the session waited for its turn.
            reason = f"there is no group {shard.group!r} any more"
            return Hop(self._members.own_name, peer.name, HopEnd.FAILED, reason)
        about = About(peer, shard, group.shards, store, self._bounds, own_metadata)
        run: SessionRun = ReconcileRun(about) if self._reconciles(peer) else self._tree_run(about)
        end, reason = await run.outcome()
        if isinstance(run, ReconcileRun) and run.not_possible:
            run = self._tree_run(about)
            end, reason = await run.outcome()
        counts = run.counts
        if not reason and counts.skipped:
            reason = f"left out: {counts.reasons_text()}"
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
            seconds=trio.current_time() - began,
        )

    def _reconciles(self, peer: Peer) -> bool:
        return not peer.foreign and not peer.lacks_reconcile and self._local.item_indexes.have_key

    def _tree_run(self, about: About) -> TreeRun:
        retention = self._bounds.foreign_retention_seconds
        return TreeRun(about, foreign_peer(self._local.clock, retention) if about.peer.foreign else None)
