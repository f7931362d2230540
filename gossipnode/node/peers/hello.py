"""Hellos: every member says hello to every other member now and then.

A hello is small. It says who its sender is and where, that it is up, which epoch it knows, and how far it is
with the shards that it is to hold. A member that knows another epoch is noted in `Members.differing`, and
`membership.epoch_news` compares with it.
"""

from __future__ import annotations

import structlog
import trio

from gossipnode import __version__
from gossipnode.core.model.property import ShardId
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.fill_state import FillProgress
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.metadata_codec import encode_cluster_groups

HELLO_MIN_SECONDS = 1.0
HELLO_MAX_SECONDS = 15.0
"""The pause between two hellos to a member: the shortest while something changes, then doubled each time."""

HELLO_TIMEOUT_SECONDS = 1.0
"""How long a hello waits for its answer."""

FOREIGN_HELLO_SECONDS = 60.0
"""How often a member that lacks our services is asked whether it has them by now."""


class Hellos:
    """Says hello, and answers it."""

    def __init__(self, local: LocalState, members: Members) -> None:
        """Say what `local` knows of this node; note in `members` what they say."""
        self._members = members
        self._cluster = local.cluster
        self._fill = local.fill
        self._log = structlog.get_logger("gossipnode.membership")

    async def run(self) -> None:
        """Say hello to every member there is, until cancelled."""
        followed: dict[Peer, None] = {}
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._members.changed.pending
                # In the order of the members: a set would put them in another one in each process.
                peers = dict.fromkeys(self._members.peers.values())
                for peer in peers:
                    if peer not in followed:
                        nursery.start_soon(self._follow, peer)
                followed = peers
                await changed.wait()

    async def greet(self, peer: Peer) -> bool:
        """Say hello; gives whether anything changed by it."""
        before = (peer.state, peer.progress, self._cluster.epoch)
        try:
            reply = await peer.channel.unary(
                services.REPLICA_HELLO,
                self.hello(),
                timeout=HELLO_TIMEOUT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError as error:
            if error.status is Status.UNIMPLEMENTED:
                peer.foreign = True
                peer.answered()
            elif error.status is Status.DEADLINE_EXCEEDED:
                peer.problem = f"no answer in {HELLO_TIMEOUT_SECONDS:g} s"
                peer.hangs()
            else:
                peer.problem = error.message or str(error)
                peer.failed(error)
        else:
            self._heard(peer, reply, at_its_address=True)
        return before != (peer.state, peer.progress, self._cluster.epoch)

    def answer(self, hello: pb.HelloMessage) -> pb.HelloMessage:
        """Answer a hello with ours."""
        peer = self._members.peers.get(hello.node)
        if peer is not None:
            self._heard(peer, hello, at_its_address=False)
        return self.hello()

    def hello(self) -> pb.HelloMessage:
        """What this node says of itself."""
        return own_hello(self._cluster, str(self._members.own_address), self._fill.progress())

    def _heard(self, peer: Peer, hello: pb.HelloMessage, *, at_its_address: bool) -> None:
        """Take note of what a member says of itself, or of somebody else who answers `at_its_address`."""
        if hello.node == peer.name and self._knows_another_epoch(hello):
            # Also of another store than we know: a newer epoch may have given it this name.
            self._members.tells_of_another_epoch(peer)
        problem = self._other_than(peer, hello)
        if problem:
            if at_its_address:
                if problem != peer.problem:
                    self._log.warning("a member is not at its address", member=peer.name, reason=problem)
                peer.is_not_there(problem)
            return
        peer.foreign = False
        peer.answered()
        peer.tells_progress(_progress(hello))
        peer.tells_identity(hello)
        self._members.in_vain.pop(peer.name, None)
        if self._cluster.view.formed:
            self._members.moved_to(peer.name, hello.address)

    def _knows_another_epoch(self, hello: pb.HelloMessage) -> bool:
        known = self._cluster.metadata
        of_ours = known is None or hello.cluster_id in (b"", known.cluster_id)
        return of_ours and hello.epoch != self._cluster.epoch

    def _other_than(self, peer: Peer, hello: pb.HelloMessage) -> str:
        """Why a hello is not of the member of this name, by the epoch that we know; "" when it is."""
        if hello.node != peer.name:
            # The member of this name is somewhere else, or gone.
            return f"{hello.node[:80]!r} answers at {peer.address}"
        known = self._cluster.metadata
        if known is None:
            return ""
        if hello.cluster_id not in (b"", known.cluster_id):
            return (
                f"the node at {peer.address} belongs to another cluster: if that one was recovered, start "
                f"this node with --join {peer.address} --as-new"
            )
        member = known.members.get(peer.name)
        if member is not None and member.birth != hello.birth:
            return f"another data directory answers as {peer.name}"
        return ""

    async def _follow(self, peer: Peer) -> None:
        """Say hello again and again, with pauses that grow while nothing changes."""
        pause = 0.0
        while not peer.gone.is_set():
            view_changed = self._cluster.changed.pending
            if await self.greet(peer) or not self._cluster.view.formed or not self._cluster.view.is_settled:
                pause = HELLO_MIN_SECONDS
            else:
                pause = min(max(2 * pause, HELLO_MIN_SECONDS), HELLO_MAX_SECONDS)
            if peer.foreign:
                with trio.move_on_after(FOREIGN_HELLO_SECONDS):
                    await peer.gone.wait()
                continue
            with trio.move_on_after(pause):
                await view_changed.wait()
            if view_changed.is_set():
                # The change is on its way to other members, too. Before it arrives, a hello would only find a
                # difference.
                await trio.sleep(HELLO_MIN_SECONDS)


def own_hello(cluster: ClusterState, address: str, progress: FillProgress) -> pb.HelloMessage:
    """What a node says of itself."""
    known = cluster.metadata
    return pb.HelloMessage(
        node=cluster.own.name,
        birth=cluster.own.birth,
        address=address,
        cluster_id=b"" if known is None else known.cluster_id,
        epoch=cluster.epoch,
        moving=[
            pb.ShardCount(group=group, shard=shard, records=records)
            for (group, shard), records in progress.moving.items()
        ],
        filled=[
            pb.FilledShard(group=shard.group, shard=shard.shard, incarnation=shard.incarnation, fence=fence)
            for shard, fence in progress.filled.items()
        ],
        forming=_forming(cluster) if known is None else None,
        version=__version__,
    )


def _forming(cluster: ClusterState) -> pb.Forming:
    configured = cluster.configured
    return pb.Forming(
        members=list(configured.members),
        groups=encode_cluster_groups(configured.groups.values()),
        foreign=list(configured.foreign),
    )


def _progress(hello: pb.HelloMessage) -> FillProgress:
    return FillProgress(
        {ShardId(each.group, each.shard, each.incarnation): each.fence for each in hello.filled},
        {(count.group, count.shard): count.records for count in hello.moving},
    )
