"""Hellos: every member says hello to every other member now and then.

A hello is small. It says that its sender is up, which registry it has, and how far it is with the shards that
it is to hold. A member whose registry differs from ours is noted in `Members.differing`, and
`membership.registry_sync` compares with it.
"""

from __future__ import annotations

from typing import TypeVar

import trio

from gossipnode.node.local.fill_state import FillProgress
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

HELLO_MIN_SECONDS = 1.0
HELLO_MAX_SECONDS = 15.0
"""The pause between two hellos to a member: the shortest while something changes, then doubled each time."""

HELLO_TIMEOUT_SECONDS = 1.0
"""How long a hello waits for its answer."""

FOREIGN_HELLO_SECONDS = 60.0
"""How often a member that lacks our services is asked whether it has them by now."""

HelloMessage = TypeVar("HelloMessage", pb.HelloRequest, pb.HelloReply)


class Hellos:
    """Says hello, and answers it."""

    def __init__(self, local: LocalState, members: Members) -> None:
        """Say what `local` knows of this node; note in `members` what they say."""
        self._members = members
        self._registry = local.registry
        self._fill = local.fill

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
        before = (peer.state, peer.progress, self._registry.root)
        request = self._hello(pb.HelloRequest)
        try:
            reply = await peer.channel.unary(
                services.REPLICA_HELLO,
                request,
                timeout=HELLO_TIMEOUT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
        except RpcError as error:
            if error.status is Status.UNIMPLEMENTED:
                peer.foreign = True
                peer.answered()
            elif error.status is Status.DEADLINE_EXCEEDED:
                peer.hangs()
            else:
                peer.failed(error)
        else:
            _heard(peer, reply)
            if reply.registry_root != self._registry.root:
                self._members.tells_of_another_registry(peer)
        return before != (peer.state, peer.progress, self._registry.root)

    def answer(self, request: pb.HelloRequest) -> pb.HelloReply:
        """Answer a hello. The caller compares registries if ours differs."""
        peer = self._members.peers.get(request.node)
        if peer is not None:
            _heard(peer, request)
        return self._hello(pb.HelloReply)

    def _hello(self, kind: type[HelloMessage]) -> HelloMessage:
        progress = self._fill.progress()
        return kind(
            node=self._members.own_name,
            registry_root=self._registry.root,
            moving=[
                pb.ShardCount(group=group, shard=shard, records=records)
                for (group, shard), records in progress.moving.items()
            ],
            filled_view=progress.filled_view,
        )

    async def _follow(self, peer: Peer) -> None:
        """Say hello again and again, with pauses that grow while nothing changes."""
        pause = 0.0
        while not peer.gone.is_set():
            registry_changed = self._registry.changed.pending
            if await self.greet(peer) or not self._registry.view.is_settled:
                pause = HELLO_MIN_SECONDS
            else:
                pause = min(max(2 * pause, HELLO_MIN_SECONDS), HELLO_MAX_SECONDS)
            if peer.foreign:
                with trio.move_on_after(FOREIGN_HELLO_SECONDS):
                    await peer.gone.wait()
                continue
            with trio.move_on_after(pause):
                await registry_changed.wait()
            if registry_changed.is_set():
                # The change is on its way to other members, too. Before it arrives, a hello would only find a
                # difference.
                await trio.sleep(HELLO_MIN_SECONDS)


def _heard(peer: Peer, hello: pb.HelloRequest | pb.HelloReply) -> None:
    peer.foreign = False
    peer.answered()
    moving = {(count.group, count.shard): count.records for count in hello.moving}
    peer.tells_progress(FillProgress(hello.filled_view, moving))
