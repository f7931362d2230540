"""The state of the process: where it listens, whether it serves, and why it had to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import trio

from gossipnode.config.address import Address
from gossipnode.node.local.cluster_state import ClusterState

Phase: TypeAlias = Literal["starting", "ready", "draining", "unhealthy"]


@dataclass(slots=True)
class NodeState:
    """Written by `node.node`, read by the endpoints."""

    address: Address
    """Where the node listens, once it does."""
    phase: Phase = "starting"
    failure: str = ""
    """Why the node had to stop; empty when it did not have to."""
    stopping: trio.Event = field(default_factory=trio.Event)
    """Set once the node is to stop."""


def told_phase(state: NodeState, cluster: ClusterState) -> Phase:
    """The state that a node tells: one that listens and whose store does not count yet is still starting."""
    counts = cluster.view.formed and cluster.cleared
    return state.phase if counts or state.phase != "ready" else "starting"
