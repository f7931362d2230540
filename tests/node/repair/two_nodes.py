"""Two nodes: a, whose sessions and reports are tested, and b, which serves what a test gives it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from gossipnode.config.address import Address
from gossipnode.core.model.property import ShardId
from gossipnode.core.ring.round import Hop
from gossipnode.core.ring.turn import Cause, RoundMessage
from gossipnode.core.session.messages import RootCompare
from gossipnode.node.identity.boot_memory import BootMemory
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.peers import call_metadata
from gossipnode.node.peers.members import open_members
from gossipnode.node.repair.foreign.foreign_holders import ForeignHolders
from gossipnode.node.repair.foreign.foreign_witness import ForeignWitness
from gossipnode.node.repair.neighbours import Neighbours
from gossipnode.node.repair.origin import Origin
from gossipnode.node.repair.reports import Reports
from gossipnode.node.repair.session_runs import SessionBounds
from gossipnode.node.repair.sessions import Sessions
from gossipnode.rpc import Channel, Server, ServerStream
from gossipnode.sim.network import MemoryNetwork
from gossipnode.wire.services import REPAIR
from tests.node.support import NOW, make_local

SHARD = ShardId("sw", 0)
ADDRESSES = {"a": Address("a", 1), "b": Address("b", 1)}
MESSAGE = RoundMessage("r1", SHARD, "a", ("a", "b"), 0, Cause.ASKED)
DEADLINE_SECONDS = 600.0

Serve = Callable[[ServerStream[Any, Any]], Awaitable[None]]


class NodeA:
    """Node a, in a network where b serves what a test gives it."""

    def __init__(self, local: LocalState | None = None) -> None:
        self.local = local or make_local()
        self.network = MemoryNetwork()
        self.origin = Origin("a", wall_clock=lambda: NOW, new_round_id=lambda: "r1", deadline_seconds=1)
        self.peers: Neighbours

    def channel(self, name: str, address: Address) -> Channel:
        async def connect() -> trio.abc.Stream:
            return await self.network.connect(address)

        return Channel(connect, authority=str(address))

    @asynccontextmanager
    async def running(
        self, handlers: dict[Any, Any] | None = None, addresses: dict[str, Address] = ADDRESSES
    ) -> AsyncGenerator[Neighbours]:
        async with trio.open_nursery() as nursery:
            if handlers is not None:
                listeners = await self.network.listen(ADDRESSES["b"])
                await nursery.start(Server(handlers).serve, listeners)
            metadata = {call_metadata.NODE: "a", call_metadata.CLUSTER: "main"}
            boots = BootMemory(self.local.store)
            async with open_members("a", addresses["a"], self.channel, metadata, boots) as members:
                await members.sync(addresses)
                self.members = members
                bounds = SessionBounds(DEADLINE_SECONDS, page_leaves=64)
                self.reports = Reports(members, self.origin)
                self.witness = ForeignWitness("a", DEADLINE_SECONDS)
                foreign = ForeignHolders(members, self.witness, DEADLINE_SECONDS)
                yield Neighbours(members, Sessions(self.local, members, bounds), self.reports, foreign)
            nursery.cancel_scope.cancel()


async def hop_with(serve: Serve | None, node: NodeA | None = None) -> Hop:
    node = node or NodeA()
    async with node.running(None if serve is None else {REPAIR: serve}) as peers:
        return await peers.repair("b", MESSAGE)


def verdict_then(*steps: Any) -> Serve:
    """A server that judges the roots to differ, then sends messages, or raises."""

    async def serve(stream: ServerStream[Any, Any]) -> None:
        await stream.recv()
        await stream.send(RootCompare(tree_found=True, root_match=False))
        for step in steps:
            if isinstance(step, Exception):
                raise step
            await stream.send(step)

    return serve
