"""How a mark is proven: every replica seals, then a round leaves nothing out, then every replica keeps it.

The one that starts it asks all members, replicas or not: one that still has records of the shard to hand over
could bring an old one after the proof. Each step names the epoch and the starts of all stores. If one of them
is another by then, the purge round is over, and the mark stays where it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gossipnode.core.cluster.placement import Placement
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import hop_limit


@dataclass(frozen=True, slots=True)
class SealAnswer:
    """What a member says when it is asked to seal a shard."""

    boot: int
    """The start of its store."""
    nonce: int
    late: int = 0
    """How many records up to its seal it has taken since then outside of sessions of the shard's replicas."""
    problem: str = ""
    """Why it does not seal; empty if it did, or holds nothing of the shard."""

    @property
    def start(self) -> tuple[int, int, int]:
        """What must be the same when the round is over."""
        return self.boot, self.nonce, self.late


def why_not_now(placement: Placement, foreign: Collection[str]) -> str:
    """Why no mark can be proven for a shard at present; empty if it can be tried."""
    if foreign:
        return f"{', '.join(sorted(foreign))} is no gossipnode, and cannot seal"
    if placement.moving:
        return "the shard moves"
    return "" if placement.holders else "it has no replica"


def seal_of(started_at: int, retention_seconds: int) -> int:
    """The stamp that a purge round is to prove, in nanoseconds: the start of the round less the retention."""
    return started_at - retention_seconds * 1_000_000_000


def why_not_sealed(stamp: int, now: int) -> str:
    """Why a replica does not seal up to a stamp. It must not refuse what clients write now."""
    if stamp > now:
        return f"asked to seal {(stamp - now) / 1e9:,.1f} s ahead of its clock: one of the clocks is wrong"
    return ""


def held_back_by(answers: Mapping[str, SealAnswer], members: Collection[str]) -> str:
    """Which members do not seal, and why; empty if all did."""
    reasons = [f"{name}: {answers[name].problem}" for name in sorted(answers) if answers[name].problem]
    reasons += [f"{name}: no answer" for name in sorted(members) if name not in answers]
    return "; ".join(reasons)


def why_not_proven(hops: Sequence[Hop], ring: Sequence[str]) -> str:
    """Why a round does not prove that all replicas hold the same; empty if it does.

    Its hops must be just those that gather every record in the last replica and spread it to all others, each
    of them with nothing left out. The roots need not be equal: newer writes go on meanwhile.
    """
    expected = [(ring[at % len(ring)], ring[(at + 1) % len(ring)]) for at in range(hop_limit(len(ring)))]
    for hop in hops:
        if not hop.complete:
            who = f"{hop.from_node} with {hop.to_node}" if hop.to_node else hop.from_node
            return f"{who}: {hop.reason or hop.end.value}"
    if [(hop.from_node, hop.to_node) for hop in hops] != expected:
        return f"{len(hops)} of {len(expected)} hops"
    return ""
