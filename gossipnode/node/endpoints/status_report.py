"""What a node says of itself: members, shards with their digests, rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from gossipnode import __version__
from gossipnode.concurrency.loop_steps import LoopSteps
from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.core.cluster.cluster_metadata import Identity
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.missed_writes import MissedWrites
from gossipnode.node.coordinate.read_repair import ReadRepair
from gossipnode.node.hand_off.hand_off import HandOff
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.node_state import NodeState, told_phase
from gossipnode.node.membership.clearing import Clearing
from gossipnode.node.membership.forming import Forming
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.retention.purge_rounds import PurgeRounds
from gossipnode.node.watch.store_news import StoreNews
from gossipnode.store.interface import ShardCounts, ShardSummary
from gossipnode.wire.generated.bp.gossipnode import v1
from gossipnode.wire.generated.pb.gossipnode.v1 import node_pb2 as pb
from gossipnode.wire.round_codec import encode_round
from gossipnode.wire.shown_codec import GroupSums, NodeStatus, encode_shard

ROUNDS_SHOWN = 20
"""Rounds in a status."""

SET_ASIDE_SHOWN = 20
"""Keys of damaged records in a status."""

CALLERS_SHOWN = 10
"""Callers in a status, those that hold most memory."""

STATUS_TREE_SECONDS = 0.5
"""How long a status request waits for the digests of all shards before it says that they are being built."""

NOTHING_HELD = ShardSummary(ShardCounts(0, 0, 0), "")
"""What a store that does not know a shard has of it."""


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Makes the answer to `status` from the parts of the node."""

    state: NodeState
    local: LocalState
    members: Members
    origin: Origin
    purges: PurgeRounds
    missed_writes: MissedWrites
    hand_off: HandOff
    read_repair: ReadRepair
    memory: MemoryBudget
    forming: Forming
    clearing: Clearing
    access: Access
    news: StoreNews

    async def read(self, group: str = "", shards_max: int = 0) -> NodeStatus:
        """The status as of now. Members not heard of lately are asked whether they are there.

        With a `group` it shows the shards of that one alone. More than `shards_max` are summed up, if that is
        not 0.

        Raises:
            NoSuchThingError: there is no such group.
        """
        await self.members.probe()
        damaged = await self.local.store.damaged_records(limit=SET_ASIDE_SHOWN)
        disk = self.local.store.disk
        shards = await self._shards(group, shards_max)
        status = v1.StatusResponse(
            node=self.members.own_name,
            address=str(self.state.address),
            version=__version__,
            state=told_phase(self.state, self.local.cluster),
            members=await self._members(),
            rounds=[encode_round(known) for known in self.origin.rounds()[:ROUNDS_SHOWN]],
            memory=_memory(self.memory),
            replicas=v1.ReplicaCounters(
                read_repairs=self.read_repair.repaired,
                read_repairs_dropped=self.read_repair.dropped,
                overlaps=self.news.overlaps,
            ),
            disk=v1.DiskStatus(state="full" if disk.full else "ok", free=disk.free_bytes),
            epoch=self.local.cluster.epoch,
            cluster_id=self._cluster_id(),
            set_aside=v1.SetAsideStatus(count=damaged.records, keys=list(damaged.names)),
            unheard=self.clearing.unheard(),
            not_replaced=self.clearing.problem,
            refused_calls=self.access.audit.refused,
            warnings=list(self.access.warnings()),
        )
        if not self.local.cluster.view.formed:
            status.forming = self._forming()
        return NodeStatus(status, shards)

    def _cluster_id(self) -> str:
        known = self.local.cluster.metadata
        return "" if known is None else known.cluster_id.hex()

    def _forming(self) -> v1.StatusResponseForming:
        """What the cluster waits for before it is formed."""
        waiting = self.forming.waiting_for()
        return v1.StatusResponseForming(
            waiting_for=list(waiting),
            needed=self.forming.needed,
            problems=[f"{name}: {problem}" for name, problem in waiting.items()],
        )

    async def _members(self) -> list[v1.Member]:
        view, loop = self.local.cluster.view, LoopSteps()
        metadata = view.metadata
        moves: Counter[str] = Counter()
        for placement in view.unsettled():
            moves.update({*placement.filling, *(set(placement.sources) - set(placement.coming))})
            await loop.step()
        told: list[v1.Member] = []
        for name in sorted({*metadata.members, *metadata.foreign, self.members.own_name}):
            member = metadata.members.get(name)
            peer = self.members.peers.get(name)
            own = name == self.members.own_name
            address = str(self.members.own_address) if own else str(peer.address) if peer else ""
            known = self.local.cluster.own.birth if own else member.birth if member else 0
            birth = known or (peer.birth if peer else 0)
            role = "foreign" if name in metadata.foreign else "member"
            told.append(
                v1.Member(
                    name=name,
                    address=address or (member.address if member else ""),
                    state="up" if own else peer.state if peer else "unknown",
                    birth=f"{birth:016x}" if birth else "",
                    role="leaving" if member is not None and member.leaving else role,
                    version=__version__ if own else peer.version if peer else "",
                    moves=moves[name],
                    boot=self._boot(name, birth, own=own),
                    leaf_json=(peer.leaf_json or "") if peer else "",
                )
            )
        return told

    def _boot(self, name: str, birth: int, *, own: bool) -> int:
        """How often the store of a member was started, as far as that is known."""
        mark = self.local.cluster.boot.mark if own else self.members.boots.known(Identity(name, birth))
        return 0 if mark is None else mark.boot

    async def _shards(self, group: str, shards_max: int) -> list[bytes]:
        """The shards that are held here, each encoded; or their sums by group, if they are too many."""
        wanted = set(self.local.shards.shards_of(group)) if group else None
        held = [shard for shard in await self.local.shards.held() if wanted is None or shard in wanted]
        if 0 < shards_max < len(held):
            return await self._sums(held)
        summaries = await self.local.store.summaries()
        patience = trio.current_time() + STATUS_TREE_SECONDS
        loop = LoopSteps()
        shards: list[bytes] = []
        for shard in held:
            summary = summaries.get(shard, NOTHING_HELD)
            root = summary.root
            if root is None and trio.current_time() < patience:
                with trio.move_on_at(patience):
                    root = (await self.local.store.tree(shard)).root
            shards.append(encode_shard(self._shard(shard, summary.counts, root)))
            await loop.step()
        return shards

    async def _sums(self, shards: Sequence[ShardId]) -> list[bytes]:
        """The sums by group, in the order of the groups. They wait for no digests."""
        summaries = await self.local.store.summaries()
        loop = LoopSteps()
        sums = GroupSums()
        for shard in shards:
            known = summaries.get(shard, NOTHING_HELD)
            sums.add(self._shard(shard, known.counts, known.root))
            await loop.step()
        return sums.encoded()

    def _shard(self, shard: ShardId, counts: ShardCounts, root: str | None) -> pb.ShardStatus:
        """The status of a shard; without its root if digests are still missing."""
        placement = self.local.shards.view.placement(shard)
        status = pb.ShardStatus(
            group=shard.group,
            shard=shard.shard,
            replicas=() if placement is None else placement.holders,
            records=counts.records,
            tombstones=counts.tombstones,
            root=root or "",
            tree="building" if root is None else "ready",
            last_converged=self.origin.last_converged(shard),
        )
        marks, held_back_by = self.local.retention.marks(shard), self.purges.held_back_by(shard)
        if marks.mark or held_back_by:
            status.retention.CopyFrom(
                pb.ShardStatus.Retention(mark=marks.mark, held_back_by=held_back_by, stale=marks.is_stale)
            )
        for replica in status.replicas:
            if writes := self.missed_writes.count(replica, shard):
                status.behind.add(replica=replica, writes=writes)
        if placement is not None and placement.filling:
            done, total = self.hand_off.moved(shard)
            status.moving.CopyFrom(pb.ShardStatus.Moving(to=placement.filling, done=done, total=total))
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
