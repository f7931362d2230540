"""The stamp that a write is to carry; the read before it proposes it to the replicas. See `StampFloors`."""

from __future__ import annotations

from dataclasses import dataclass

from gossipnode.core.query.replica_messages import RecordsRead, ReplicaReply


@dataclass(slots=True)
class StampProposal:
    """One proposal. The write may carry `stamp` once a quorum of replicas took it."""

    stamp: int = 0
    highest: int = 0
    """The highest stamp that a replica had taken or stored before: the next proposal has to be above it."""

    @property
    def outbid(self) -> bool:
        """Whether a replica did not take it."""
        return self.highest >= self.stamp

    def take(self, reply: ReplicaReply) -> str:
        """Hear a replica's answer; gives why it did not take the stamp, or ""."""
        if not isinstance(reply, RecordsRead):
            return "its answer does not fit"
        return self.hear(reply.floor)

    def hear(self, floor: int) -> str:
        """Hear a replica's floor, as `take` does."""
        self.highest = max(self.highest, floor)
        return "" if self.stamp > floor else "has taken a later stamp"
