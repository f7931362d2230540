"""What a node says of itself: members, shards with their digests, rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from gossipnode import __version__
from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.core.model.property import ShardId
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.hand_off.hand_off import HandOff
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.node_state import NodeState
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.origin import Origin
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.round_codec import encode_round

ROUNDS_SHOWN = 20
"""Rounds in a status."""

CALLERS_SHOWN = 10
"""Callers in a status, those that hold most memory."""

STATUS_TREE_SECONDS = 2.0
"""How long a status request waits for the digests of all shards before it says that they are being built."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Makes the answer to `status` from the parts of the node."""

    state: NodeState
    local: LocalState
    members: Members
    origin: Origin
    hand_off: HandOff
    read_repair: ReadRepair
    memory: MemoryBudget

    async def read(self) -> v1.StatusResponse:
        """The status as of now. Members not heard of lately are asked whether they are there."""
        await self.members.probe()
        patience = trio.current_time() + STATUS_TREE_SECONDS
        return v1.StatusResponse(
            node=self.members.own_name,
            address=str(self.state.address),
            version=__version__,
            state=self.state.phase,
            members=self._members(),
            shards=[await self._shard(shard, patience) for shard in self.local.shards],
            rounds=[encode_round(known) for known in self.origin.rounds()[:ROUNDS_SHOWN]],
            registry_root=self.local.registry.root,
            memory=_memory(self.memory),
            replicas=v1.ReplicaCounters(
                read_repairs=self.read_repair.repaired, read_repairs_dropped=self.read_repair.dropped
            ),
        )

    def _members(self) -> list[v1.Member]:
        known = {
            name: v1.Member(name=name, address=str(peer.address), state=peer.state)
            for name, peer in self.members.peers.items()
        }
        own = self.members.own_name
        known[own] = v1.Member(name=own, address=str(self.members.own_address), state="up")
        return [known[name] for name in sorted(known)]

    async def _shard(self, shard: ShardId, patience: float) -> v1.ShardStatus:
        """The status of a shard; without its root if leaf digests are still missing at `patience`."""
        counts = await self.local.store.counts(shard)
        root, tree = "", "building"
        with trio.move_on_at(patience if counts.unhashed else math.inf):
            root, tree = (await self.local.store.tree(shard)).root, "ready"
        status = v1.ShardStatus(
            group=shard.group,
            shard=shard.shard,
            replicas=list(self.local.shards.replicas(shard)),
            records=counts.records,
            tombstones=counts.tombstones,
            root=root,
            tree=tree,
            last_converged=self.origin.last_converged(shard),
        )
        placement = self.local.shards.placement(shard)
        if placement.joining:
            done, total = self.hand_off.moved(shard)
            status.moving = v1.ShardStatusMoving(to=list(placement.joining), done=done, total=total)
        return status


def _memory(budget: MemoryBudget) -> v1.Memory:
    return v1.Memory(
        budget=budget.shares.capacity,
        used=budget.shares.held,
        by=[v1.MemoryHeld(name=use, size=held) for use, held in budget.by_use().items()],
        callers=[
            v1.MemoryHeld(name=caller.name, size=held)
            for caller, held in budget.shares.callers()[:CALLERS_SHOWN]
        ],
    )
