"""The members as this node sees them: a channel to each, and whether it answered last time.

Addresses come from our own configuration alone; none is ever taken from a message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import trio

from gossipnode.node.address import Address
from gossipnode.node.limits import PROBE_FRESH_SECONDS, PROBE_SECONDS
from gossipnode.rpc import Channel, RpcError, Status, health

MemberState: TypeAlias = Literal["up", "down", "unknown"]


@dataclass(slots=True)
class Peer:
    """Another member."""

    name: str
    address: Address
    channel: Channel
    state: MemberState = "unknown"
    seen_at: float = float("-inf")
    """When the state was last learnt, by Trio's clock."""

    def answered(self) -> None:
        """It did something for us just now."""
        self.state, self.seen_at = "up", trio.current_time()

    def failed(self, error: RpcError) -> None:
        """A call failed; only some statuses say that the member is not there."""
        if error.status is Status.UNAVAILABLE:
            self.state, self.seen_at = "down", trio.current_time()
        elif error.status is not Status.DEADLINE_EXCEEDED:
            self.answered()


class Members:
    """All members by name, in ring order; this node is one of them."""

    def __init__(self, own_name: str, own_address: Address, peers: Mapping[str, Peer]) -> None:
        """See `open_members`."""
        self.own_name = own_name
        self.own_address = own_address
        self.peers = dict(sorted(peers.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Every member, in ring order."""
        return tuple(sorted((self.own_name, *self.peers)))

    async def probe(self) -> None:
        """Ask the members that we have not heard of lately whether they are there."""
        stale = trio.current_time() - PROBE_FRESH_SECONDS
        async with trio.open_nursery() as nursery:
            for peer in self.peers.values():
                if peer.seen_at < stale:
                    nursery.start_soon(_probe, peer)


async def _probe(peer: Peer) -> None:
    try:
        await peer.channel.unary(health.CHECK, "", timeout=PROBE_SECONDS, dial_now=True)
    except RpcError as error:
        peer.failed(error)
        if error.status is Status.DEADLINE_EXCEEDED:
            peer.state, peer.seen_at = "down", trio.current_time()
    else:
        peer.answered()


@asynccontextmanager
async def open_members(
    own_name: str, members: Mapping[str, Address], open_channel: Callable[[str, Address], Channel]
) -> AsyncGenerator[Members]:
    """The members, with a channel to each other one for as long as the block lasts.

    Nothing is dialed before the first call.
    """
    async with AsyncExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name, address in members.items():
            if name != own_name:
                channel = await stack.enter_async_context(open_channel(name, address))
                peers[name] = Peer(name, address, channel)
        yield Members(own_name, members[own_name], peers)
