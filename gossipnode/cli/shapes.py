"""The JSON shapes of status, trees and rounds, made from a node's answers. Others rely on their names."""

from __future__ import annotations

from typing import Any

from gossipnode.wire.generated.bp.gossipnode import v1 as messages


def hop_shape(hop: messages.Hop) -> dict[str, Any]:
    """One hop of a round."""
    return {
        "from": hop.from_,
        "to": hop.to,
        "session": hop.session,
        "outcome": hop.outcome,
        "reason": hop.reason,
        "sent": hop.sent,
        "received": hop.received,
        "skipped": hop.skipped,
        "bytes_sent": hop.bytes_sent,
        "bytes_received": hop.bytes_received,
        "seconds": round(hop.seconds, 6),
    }


def round_shape(finished: messages.Round) -> dict[str, Any]:
    """A round. One that still runs has no outcome."""
    return {
        "round": finished.round,
        "group": finished.group,
        "shard": finished.shard,
        "origin": finished.origin,
        "outcome": finished.outcome or None,
        "seconds": round(finished.seconds, 6),
        "hops": [hop_shape(hop) for hop in finished.hops],
    }


def member_shape(member: messages.Member) -> dict[str, Any]:
    """A member as the node sees it."""
    return {"name": member.name, "address": member.address, "state": member.state}


def shard_shape(shard: messages.ShardStatus) -> dict[str, Any]:
    """A shard. `last_converged` is nanoseconds since 1970, or null."""
    return {
        "group": shard.group,
        "shard": shard.shard,
        "replicas": list(shard.replicas),
        "records": shard.records,
        "tombstones": shard.tombstones,
        "root": shard.root,
        "tree": shard.tree,
        "last_converged": shard.last_converged or None,
        # Placement does not move yet.
        "moving": None,
    }


def status_shape(status: messages.StatusResponse) -> dict[str, Any]:
    """A node's view."""
    return {
        "node": status.node,
        "address": status.address,
        "version": status.version,
        "state": status.state,
        "members": [member_shape(member) for member in status.members],
        "shards": [shard_shape(shard) for shard in status.shards],
        "rounds": [round_shape(finished) for finished in status.rounds],
    }


def leaf_shape(leaf: messages.TreeResponseLeaf) -> dict[str, Any]:
    """A leaf of a tree."""
    return {
        "group": leaf.group,
        "name": leaf.name,
        "id": leaf.id,
        "slot": leaf.slot,
        "sha": leaf.sha,
        "mod_revision": leaf.mod_revision,
        "delete_time": leaf.delete_time,
    }
