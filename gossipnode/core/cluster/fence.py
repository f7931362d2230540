"""The fence: a replica serves only what was asked in the very view of the cluster that it has itself.

A coordinator that has not heard of a change of members can then not reach a quorum of the wrong replicas.
"""

from __future__ import annotations

from dataclasses import dataclass

from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import ShardId


@dataclass(frozen=True, slots=True)
class ViewConflict:
    """Why asker and replica do not agree on the cluster."""

    reason: str
    unknown_shard: bool = False
    """The replica knows no such shard, or not of that incarnation."""


def view_conflict(view: ClusterView, own: Identity, shard: ShardId, fence: bytes) -> ViewConflict | None:
    """Why a replica refuses a request for a shard; None when the asker's view is its own.

    Args:
        view: what the replica knows of the cluster.
        own: the replica, with the birth of its store.
        shard: what the request is for.
        fence: the asker's `Placement.fence`.
    """
    placement = view.placement(shard)
    if not view.counts(own):
        return ViewConflict(f"{own.name} is no member with this data directory")
    if placement is None:
        reason = f"{own.name} knows no shard {shard} of that incarnation"
        return ViewConflict(reason, unknown_shard=True)
    if own.name not in placement.holders:
        return ViewConflict(f"{own.name} holds no copy of {shard}")
    if fence != placement.fence:
        return ViewConflict(f"{own.name} sees other members for {shard}")
    return None


def session_conflict(own_name: str, placement: Placement, *, incarnation: str, fence: str) -> str:
    """Why a replica refuses a session over a shard; "" when it agrees.

    `incarnation` (a number) and `fence` (hex) are what the caller's metadata say. Each may be empty: a
    foreign peer sends neither, and a session outside a move needs no fence.
    """
    shard = placement.shard
    if incarnation and incarnation != str(shard.incarnation):
        return f"{own_name} has another incarnation of group {shard.group!r}"
    if fence and fence != placement.fence.hex():
        return f"{own_name} sees other members for {shard}"
    return ""
