"""The node as `observe` sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gossipnode import __version__
from gossipnode.concurrency.shares import Caller
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND
from gossipnode.node.local.node_state import told_phase
from gossipnode.node.parts import Parts
from gossipnode.node.shown.page_state import page_state
from gossipnode.node.shown.record_query import RecordQueries
from gossipnode.node.shown.shard_figures import ShardGatherer
from gossipnode.observe.node_view import MemberFigures, NodeFigures, PageQuery, SnapshotFigures, Visitor

COMMIT_STUCK_SECONDS = 10.0
"""A commit that takes longer means that the disk hangs: no write is taken meanwhile."""


class ShownNode:
    """Implements `NodeView`."""

    def __init__(self, parts: Parts, connections: Callable[[], int]) -> None:
        """Show what `parts` know. `connections` gives how many are open to this node."""
        self._parts = parts
        self._connections = connections
        self._shards = ShardGatherer(parts.local, parts.repair)
        self._queries = RecordQueries(parts.queries)

    async def figures(self) -> NodeFigures:
        """See `NodeView.figures`."""
        parts, local = self._parts, self._parts.local
        shards = await self._shards.gather()
        peers = parts.members.peers
        now, disk, commits = local.clock.now(), local.store.disk, local.store.figures.commits
        return NodeFigures(
            version=__version__,
            state=told_phase(parts.state, local.cluster),
            now=now,
            epoch=local.cluster.epoch,
            groups=local.cluster.view.groups.keys(),
            members=[
                MemberFigures(name, peer.state, peer.clock_ahead_seconds if peer.state == "up" else None)
                for name, peer in peers.items()
            ],
            shards=shards,
            counts_current=self._shards.current,
            rounds_under_way=parts.repair.origin.under_way,
            connections_in=self._connections(),
            connections_out=sum(peer.channel.connected for peer in peers.values()),
            memory_budget_bytes=parts.memory.shares.capacity,
            memory_held_bytes=parts.memory.by_use(),
            disk_full=disk.full,
            disk_free_bytes=disk.free_bytes,
            refused_calls=parts.access.audit.refused_for,
            watches=parts.watches.under_way,
            overlaps=parts.news.overlaps,
            stale_shards=len(local.retention.stale()),
            snapshots=SnapshotFigures(*parts.snapshots.outcomes),
            certificate_days_left=parts.certificates.days_left(now / NANOSECONDS_PER_SECOND),
            commit_seconds=commits.seconds,
            batch_records=commits.records,
            commit_running_seconds=commits.running_seconds,
        )

    async def page(self) -> Mapping[str, Any]:
        """See `NodeView.page`."""
        return await page_state(self._parts, await self.figures(), self.not_ready_because())

    def refusal(self, visitor: Visitor) -> str:
        """See `NodeView.refusal`."""
        return self._parts.access.status_refusal(visitor.peer, visitor.certificate_names)

    async def records(self, asked: PageQuery, caller: Caller) -> Sequence[Mapping[str, Any]]:
        """See `NodeView.records`."""
        return await self._queries.ask(asked, caller)

    def now(self) -> int:
        """See `NodeView.now`."""
        return self._parts.local.clock.now()

    def not_ready_because(self) -> str:
        """See `NodeView.not_ready_because`."""
        parts = self._parts
        stuck = parts.local.store.figures.commits.running_seconds
        if stuck > COMMIT_STUCK_SECONDS:
            return f"the store has not finished a commit for {stuck:.0f} s"
        phase = told_phase(parts.state, parts.local.cluster)
        if phase == "ready":
            return ""
        if parts.local.store.disk.full:
            return "the disk is full: writes are refused"
        waiting: Iterable[str] = ()
        if not parts.local.cluster.view.formed:
            waiting = parts.membership.forming.waiting_for()
        elif phase == "starting":
            waiting = parts.membership.clearing.unheard()
        return f"{phase}: waiting for {', '.join(waiting)}" if waiting else phase
