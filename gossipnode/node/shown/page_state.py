"""What the status page shows of a node: its cluster, shards and rounds, as values that JSON can hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.core.cluster.placement import Placement
from gossipnode.core.ring.round import Hop, Round
from gossipnode.node.local.node_state import told_phase
from gossipnode.node.parts import Parts
from gossipnode.observe.node_view import NodeFigures, ShardFigures

ROUNDS_SHOWN: Final = 20
HOPS_SHOWN: Final = 64
"""Hops of each round that are shown, the first ones."""

GROUPS_SHOWN: Final = 200
SHARDS_SHOWN: Final = 256
"""Shards that are shown one by one, over all groups. Those that need a look come first."""

MEMBERS_SHOWN: Final = 200
TEXT_MAX_CHARACTERS: Final = 300
"""Of a text that others may have chosen, such as the reason of a hop."""

MILLISECOND_NANOSECONDS: Final = 1_000_000


async def page_state(parts: Parts, figures: NodeFigures, problem: str) -> dict[str, Any]:
    """The whole page. `problem` is why the node is not ready."""
    view, local = parts.local.cluster.view, parts.local
    known = local.cluster.metadata
    return {
        "node": local.own_name,
        "address": str(parts.state.address),
        "version": figures.version,
        "state": told_phase(parts.state, local.cluster),
        "problem": problem,
        "epoch": figures.epoch,
        "cluster_id": "" if known is None else known.cluster_id.hex(),
        "members": _members(parts, figures),
        "members_left_out": max(0, len(view.members) - MEMBERS_SHOWN),
        **await _groups(parts, figures),
        "rounds": [_round(known) for known in parts.repair.origin.rounds()[:ROUNDS_SHOWN]],
        "memory": {"budget": figures.memory_budget_bytes, "held": sum(figures.memory_held_bytes.values())},
        # Rounded, so that a page whose node does nothing has nothing new to say.
        "disk": {"full": figures.disk_full, "free": figures.disk_free_bytes >> 26 << 26},
        "warnings": list(parts.access.warnings()),
    }


def _members(parts: Parts, figures: NodeFigures) -> list[dict[str, Any]]:
    metadata, own = parts.local.cluster.view.metadata, parts.local.own_name
    behind_because = parts.repair.catch_up.missed_writes.problems()
    clocks = {member.name: member.clock_ahead for member in figures.members}
    told: list[dict[str, Any]] = []
    for name in sorted({*metadata.members, *metadata.foreign, own})[:MEMBERS_SHOWN]:
        member, peer = metadata.members.get(name), parts.members.peers.get(name)
        ahead = clocks.get(name)
        address = parts.members.own_address if name == own else peer.address if peer else ""
        told.append(
            {
                "name": name,
                "address": str(address),
                "state": "up" if name == own else peer.state if peer else "unknown",
                "role": "foreign"
                if name in metadata.foreign
                else "leaving"
                if member and member.leaving
                else "",
                "version": figures.version if name == own else peer.version if peer else "",
                "clock_ahead": None if ahead is None else round(ahead, 1),
                "problem": peer.problem[:TEXT_MAX_CHARACTERS] if peer else "",
                "behind_because": behind_because.get(name, "")[:TEXT_MAX_CHARACTERS],
            }
        )
    return told


async def _groups(parts: Parts, figures: NodeFigures) -> dict[str, Any]:
    """Every group with the sums of its shards here, and some of the shards."""
    view, loop = parts.local.cluster.view, LoopSteps()
    of_group: defaultdict[str, list[ShardFigures]] = defaultdict(list)
    for shard in figures.shards:
        of_group[shard.group].append(shard)
    told: list[dict[str, Any]] = []
    for name in list(view.groups)[:GROUPS_SHOWN]:
        group, shards = view.groups[name], of_group[name]
        converged = [shard.last_converged for shard in shards if shard.last_converged]
        told.append(
            {
                "name": name,
                "shards": group.shards,
                "replicas": group.replicas,
                "ack": group.ack.value,
                "held": len(shards),
                "records": sum(shard.records for shard in shards),
                "tombstones": sum(shard.tombstones for shard in shards),
                "behind": sum(shard.behind for shard in shards),
                "equal_since": min(converged, default=0) // MILLISECOND_NANOSECONDS,
                "never_equal": sum(shard.replicas > 1 and not shard.last_converged for shard in shards),
            }
        )
        await loop.step()
    moving: dict[tuple[str, int], Placement] = {}
    for placement in view.unsettled():
        moving[placement.shard[:2]] = placement
        await loop.step()
    shown = _worth_a_look(figures.shards, moving)
    return {
        "groups": told,
        "groups_left_out": max(0, len(view.groups) - GROUPS_SHOWN),
        "moving": len(moving),
        "shards": [_shard(parts, shard, moving) for shard in shown],
        "shards_left_out": len(figures.shards) - len(shown),
    }


def _worth_a_look(
    shards: Sequence[ShardFigures], moving: Mapping[tuple[str, int], Placement]
) -> list[ShardFigures]:
    """Up to `SHARDS_SHOWN` shards: those that move or lack writes first, then those not equal for longest."""
    if len(shards) <= SHARDS_SHOWN:
        return list(shards)
    order = sorted(
        shards, key=lambda shard: (shard[:2] not in moving, not shard.behind, shard.last_converged)
    )
    return sorted(order[:SHARDS_SHOWN])


def _shard(parts: Parts, shard: ShardFigures, moving: Mapping[tuple[str, int], Placement]) -> dict[str, Any]:
    shards = parts.local.shards
    known = shards.find(shard.group, shard.shard)
    placement = moving.get(shard[:2])
    done, total = (0, 0) if placement is None or known is None else parts.hand_off.moved(known)
    return {
        "group": shard.group,
        "shard": shard.shard,
        "replicas": () if known is None else shards.replicas(known),
        "records": shard.records,
        "tombstones": shard.tombstones,
        "equal_since": shard.last_converged // MILLISECOND_NANOSECONDS,
        "behind": shard.behind,
        "moving": None if placement is None else {"to": placement.filling, "done": done, "total": total},
    }


def _round(known: Round) -> dict[str, Any]:
    return {
        "round": known.round,
        "group": known.shard.group,
        "shard": known.shard.shard,
        "origin": known.origin,
        "started": known.started_at // MILLISECOND_NANOSECONDS,
        "outcome": "" if known.outcome is None else known.outcome.value,
        "seconds": round(known.seconds, 3),
        "hops": [_hop(hop) for hop in known.hops[:HOPS_SHOWN]],
        "hops_left_out": max(0, len(known.hops) - HOPS_SHOWN),
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "from": hop.from_node,
        "to": hop.to_node,
        "session": hop.session,
        "outcome": hop.end.value,
        "reason": hop.reason[:TEXT_MAX_CHARACTERS],
        "sent": hop.sent,
        "received": hop.received,
        "skipped": hop.skipped,
        "seconds": round(hop.seconds, 3),
    }
