"""The JSON shapes of status, groups, trees, rounds and traces, made from a node's answers.

Scripts of users rely on their names.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gossipnode.config.values import format_duration
from gossipnode.wire.generated.bp.banyandb.common import v1 as common
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
    return {
        "name": member.name,
        "address": member.address,
        "state": member.state,
        "role": member.role,
        "birth": member.birth or None,
        "boot": member.boot or None,
        "version": member.version or None,
        "moves": member.moves,
        "leaf_json": member.leaf_json or None,
    }


def group_shape(group: messages.Group) -> dict[str, Any]:
    """A group."""
    return {
        "name": group.name,
        "shards": group.shards,
        "replicas": group.replicas,
        "ack": group.ack,
        "tombstone_retention": format_duration(group.tombstone_retention_seconds),
        "indexes": list(group.indexes),
        "incarnation": group.incarnation,
    }


def shard_shape(shard: messages.ShardStatus) -> dict[str, Any]:
    """A shard. `last_converged` is nanoseconds since 1970, or null.

    `behind` is how many writes the replica lacks that is known to lack most, `equal_since` when all replicas
    were last found equal, and null while one is known to lack something. `digest` says what `root` is of.
    `purged_until` says which tombstones are purged, and `purge_held_back_by` why no later ones are.
    """
    behind = max((each.writes for each in shard.behind), default=None)
    return {
        "group": shard.group,
        "shard": shard.shard,
        "replicas": list(shard.replicas),
        "records": shard.records,
        "tombstones": shard.tombstones,
        "root": shard.root,
        "tree": shard.tree,
        "last_converged": shard.last_converged or None,
        "moving": moving_shape(shard.moving),
        "behind": behind,
        "equal_since": None if behind else _moment(shard.last_converged),
        "digest": "tree",
        "purged_until": _moment(shard.retention.mark),
        "purge_held_back_by": shard.retention.held_back_by or None,
        "stale": shard.retention.stale,
    }


def _moment(nanoseconds: int) -> str | None:
    """A time as RFC 3339 has it, in UTC; None if it never was."""
    if not nanoseconds:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    return moment.isoformat().replace("+00:00", "Z")


def moving_shape(moving: messages.ShardStatusMoving) -> dict[str, Any] | None:
    """How far a shard has moved to its new replicas; None if it is not moving."""
    return {"to": list(moving.to), "done": moving.done, "total": moving.total} if moving.to else None


def memory_shape(memory: messages.Memory) -> dict[str, Any]:
    """What a node may spend on what others send and ask for, and who holds how much of it, in bytes."""
    return {
        "budget": memory.budget,
        "used": memory.used,
        "by": {held.name: held.size for held in memory.by},
        "callers": {held.name: held.size for held in memory.callers},
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
        "epoch": status.epoch,
        "cluster_id": status.cluster_id or None,
        "forming": forming_shape(status),
        "memory": memory_shape(status.memory),
        "read_repairs": status.replicas.read_repairs,
        "read_repairs_dropped": status.replicas.read_repairs_dropped,
        "overlaps": status.replicas.overlaps,
        "disk": {"state": status.disk.state, "free": status.disk.free},
        "set_aside": {"count": status.set_aside.count, "keys": status.set_aside.keys},
        "unheard": list(status.unheard),
        "not_replaced": status.not_replaced or None,
        "refused_calls": status.refused_calls,
        "warnings": list(status.warnings),
    }


def forming_shape(status: messages.StatusResponse) -> dict[str, Any] | None:
    """What a cluster waits for before it is formed; None once it is."""
    if status.epoch:
        return None
    forming = status.forming
    return {
        "waiting_for": list(forming.waiting_for),
        "needed": forming.needed,
        "problems": list(forming.problems),
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


def trace_shape(trace: common.Trace) -> dict[str, Any]:
    """How a query was answered."""
    return {
        "trace_id": trace.trace_id,
        "error": trace.error,
        "spans": [span_shape(span) for span in trace.spans],
    }


def span_shape(span: common.Span) -> dict[str, Any]:
    """A part of the work, with the parts that it is made of."""
    return {
        "message": span.message,
        "tags": {tag.key: tag.value for tag in span.tags},
        "milliseconds": round(span.duration / 1e6, 3),
        "error": span.error,
        "children": [span_shape(child) for child in span.children],
    }
