"""What the spans of rounds and hops say of them."""

from __future__ import annotations

from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import HopEnd, RoundMessage
from gossipnode.observe.traces.traces import Facts, OpenSpan


def round_facts(message: RoundMessage) -> Facts:
    """Which round it is, by the names that lines of the log have, too."""
    return {"gossipnode.round": message.round, **shard_facts(message.shard)}


def shard_facts(shard: ShardId) -> Facts:
    """Which shard something is about."""
    return {"gossipnode.group": shard.group, "gossipnode.shard": shard.shard}


def tell_hop(span: OpenSpan, hop: Hop) -> None:
    """Say in its span how a hop ended."""
    span.note(
        {
            "gossipnode.outcome": hop.end.value,
            "gossipnode.session": hop.session,
            "gossipnode.sent": hop.sent,
            "gossipnode.received": hop.received,
            "gossipnode.skipped": hop.skipped,
        }
    )
    if hop.end not in (HopEnd.EQUAL, HopEnd.REPAIRED):
        span.failed(f"{hop.end.value}: {hop.reason}")
