"""Makes replicas equal whose roots differ although nobody remembers a missed write, shard after shard.

`node.peers.shared_roots` finds the differences, and `core.ring.root_differences` says which are for us.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.turn import Cause
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import Members
from gossipnode.node.peers.shared_roots import SharedRoots
from gossipnode.node.repair.sessions import Sessions

MEND_PAUSE_SECONDS = 1.0
"""The pause after each session of this kind, so that many differences are no storm."""


class RootMender:
    """Opens sessions because of roots that differ, while `run` runs."""

    def __init__(self, members: Members, sessions: Sessions, roots: SharedRoots) -> None:
        """Mend by `sessions` with `members` what `roots` finds."""
        self._members = members
        self._sessions = sessions
        self._roots = roots
        self.steps = 0
        """How many sessions have begun and how many have ended, together: odd while one runs."""
        self.mended = 0
        """How many sessions have found a record to exchange."""
        self._log = structlog.get_logger("gossipnode.ring")

    async def run(self) -> None:
        """Mend what is due, until cancelled."""
        while True:
            due, found = self._roots.due.pending, self._roots.differences.next_due()
            if found is None:
                await due.wait()
                continue
            try:
                await self._mend(*found)
            except Exception:  # noqa: BLE001 - a defect, logged with its traceback; others are mended all the same
                self._log.exception("mending a difference failed", peer=found[0], shard=str(found[1]))
            self._roots.differences.tried(*found, trio.current_time())
            await trio.sleep(MEND_PAUSE_SECONDS)

    async def _mend(self, member: str, shard: ShardId) -> None:
        peer = self._members.peers.get(member)
        if peer is None or peer.foreign or peer.state != "up":
            return
        metadata = {**self._members.metadata, call_metadata.CAUSE: Cause.EVENT.value}
        self.steps += 1
        try:
            hop = await self._sessions.compare(peer, shard, metadata)
        finally:
            self.steps += 1
        self.mended += bool(hop.sent or hop.received)
        self._log.info(
            "replica whose root differed compared",
            peer=member,
            group=shard.group,
            shard=shard.shard,
            outcome=hop.end.value,
            reason=hop.reason,
            sent=hop.sent,
            received=hop.received,
        )
