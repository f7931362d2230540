"""Who is there, and whose registry differs: every member says hello to every other one now and then.

A hello costs little and says much: that the caller is up, which registry it has, and how far it has filled
itself. Whoever finds another registry than its own compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from gossipnode.node.local.registry import Registry
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.members import Members, Peer, Progress
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

HELLO_MIN_SECONDS = 1.0
HELLO_MAX_SECONDS = 15.0
"""How often a member is said hello to: often while something changes, else ever more seldom."""

HELLO_TIMEOUT_SECONDS = 1.0
FOREIGN_HELLO_SECONDS = 60.0
"""How often a member that is no gossipnode is asked whether it has become one."""

Hello = TypeVar("Hello", pb.HelloRequest, pb.HelloReply)


class Liveness:
    """Says hello, and answers it."""

    def __init__(
        self,
        members: Members,
        registry: Registry,
        sync: RegistrySync,
        progress: Callable[[], Progress],
    ) -> None:
        """`progress` is what this node says of itself."""
        self._members = members
        self._registry = registry
        self._sync = sync
        self._progress = progress

    async def run(self) -> None:
        """Follow the members, until cancelled."""
        followed: set[Peer] = set()
        async with trio.open_nursery() as nursery:
            while True:
                changed = self._members.changed
                peers = set(self._members.peers.values())
                for peer in peers - followed:
                    nursery.start_soon(self._follow, peer)
                followed = peers
                await changed.wait()

    async def greet_all(self) -> None:
        """Say hello to every member once; those that are there have compared registries then."""
        async with trio.open_nursery() as nursery:
            for peer in self._members.peers.values():
                nursery.start_soon(self.greet, peer)

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
                await self._sync.sync(peer.name)
        return before != (peer.state, peer.progress, self._registry.root)

    def answer(self, request: pb.HelloRequest) -> pb.HelloReply:
        """Answer a hello. A caller whose registry differs will compare."""
        peer = self._members.peers.get(request.node)
        if peer is not None:
            _heard(peer, request)
        return self._hello(pb.HelloReply)

    def _hello(self, kind: Callable[..., Hello]) -> Hello:
        progress = self._progress()
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
        """Say hello again and again: at once while something changes, ever more seldom when nothing does."""
        pause = 0.0
        while not peer.gone.is_set():
            registry_changed = self._registry.changed
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
                # Others are told of the change as well: it needs a moment to get there.
                await trio.sleep(HELLO_MIN_SECONDS)


def _heard(peer: Peer, hello: pb.HelloRequest | pb.HelloReply) -> None:
    peer.foreign = False
    peer.answered()
    moving = {(count.group, count.shard): count.records for count in hello.moving}
    peer.progress = Progress(hello.filled_view, moving)
