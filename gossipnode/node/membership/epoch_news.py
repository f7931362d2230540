"""What members tell each other of epochs: they compare what they know, and spread what was decided."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
import trio

from gossipnode.core.cluster.cluster_metadata import ClusterMetadata
from gossipnode.core.cluster.deciding.epoch_messages import DecidedAlready, Stranger
from gossipnode.core.cluster.placement import majority
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.standing import not_a_member
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.epochs.epoch_codec import (
    Announce,
    Ask,
    At,
    EpochAnswer,
    EpochQuestion,
    decode_answer,
    encode_question,
)
from gossipnode.wire.wire_errors import WireError

EPOCH_SECONDS = 2.0
"""How long one member is waited for."""

SPREAD_SECONDS = 2.0
"""How long a change waits for members to take note of it, before it is answered all the same."""


@dataclass(slots=True)
class _Comparison:
    """A comparison with one member that is under way."""

    over: trio.Event = field(default_factory=trio.Event)
    answered: bool = False


@dataclass(slots=True)
class ToldMembers:
    """Which members were told of a value, and which of them have it now."""

    asked: set[str] = field(default_factory=set[str])
    have: set[str] = field(default_factory=set[str])


class EpochNews:
    """Keeps the epoch of this node and those of the other members alike."""

    def __init__(
        self, cluster: ClusterState, members: Members, keep_channels: Callable[[], Awaitable[None]]
    ) -> None:
        """Compare what `cluster` knows with what `members` do.

        `keep_channels` has `members` follow the newest epoch, so that a request that goes on by it can reach
        the new members.
        """
        self._keep_channels = keep_channels
        self._cluster = cluster
        self._members = members
        self._comparing: dict[str, _Comparison] = {}
        self.refusal = ""
        """Why this node has to stop: it can form no cluster, or its store counts for nobody. Or ""."""
        self._log = structlog.get_logger("gossipnode.cluster")
        self._told = ToldStates(self._log)

    async def run(self) -> None:
        """Compare epochs with members that tell of another one, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                told = self._members.told.pending
                # A comparison that is under way may miss the difference. The member's next hello tells of it
                # again.
                differing = sorted(self._members.differing - self._comparing.keys())
                self._members.differing.clear()
                for name in differing:
                    nursery.start_soon(self._compare_told, name)
                await told.wait()

    async def _compare_told(self, name: str) -> None:
        """Compare with a member that told of another epoch. Its next hello tells of it again."""
        try:
            await self.compare(name)
        except StoreError as error:
            self._told.tell(
                (name, "kept"),
                "epoch not kept",
                peer=name,
                epoch=self._cluster.epoch,
                reason=str(error),
                level=logging.WARNING,
            )

    async def compare(self, name: str) -> bool:
        """Compare epochs with a member, and take over the newer one; gives whether it answered.

        If a comparison with it is under way already, wait for that one.
        """
        under_way = self._comparing.get(name)
        if under_way is not None:
            await under_way.over.wait()
            return under_way.answered
        peer = self._members.peers.get(name)
        if peer is None:
            return False
        comparison = self._comparing[name] = _Comparison()
        try:
            comparison.answered = await self._compare(peer)
        finally:
            del self._comparing[name]
            comparison.over.set()
        return comparison.answered

    async def _compare(self, peer: Peer) -> bool:
        known = self._cluster.metadata
        question = Ask(b"" if known is None else known.cluster_id, self._cluster.epoch)
        try:
            reply = await self.ask(peer, question)
        except (RpcError, WireError) as error:
            self._told.tell(
                peer.name,
                "epochs not compared",
                peer=peer.name,
                epoch=self._cluster.epoch,
                reason=str(error),
            )
            return False
        self._told.is_over(peer.name)
        match reply:
            case DecidedAlready(value):
                if known is not None or value.is_member(self._cluster.own):
                    await self.adopt(value, peer.birth)
                else:
                    self.refuse(not_a_member(value, self._cluster.own))
            case Stranger() if known is None:
                self.refuse(
                    f"the cluster of {peer.name} at {peer.address} has no member {self._cluster.own.name}: "
                    "start it with --join"
                )
            case At(epoch) if epoch < self._cluster.epoch:
                await self.announce(peer)
            case _:
                pass
        return True

    def members_up(self) -> Iterable[str]:
        """The members that a comparison is likely to reach."""
        return [name for name, peer in self._members.peers.items() if peer.state == "up" and not peer.foreign]

    def refuse(self, refusal: str) -> None:
        """This node has to stop, for this reason."""
        self.refusal = refusal
        self._cluster.changed.notify()

    async def ask(self, peer: Peer, question: EpochQuestion) -> EpochAnswer:
        """Ask a member.

        Raises:
            RpcError: it does not answer.
            WireError: its answer makes no sense.
        """
        reply = await peer.channel.unary(
            services.REPLICA_EPOCH,
            encode_question(question),
            timeout=EPOCH_SECONDS,
            metadata=self._members.metadata,
            dial_now=True,
        )
        if reply.boot:
            self._members.committed(peer.name, reply.boot, reply.commit)
        return decode_answer(reply, question)

    def peer(self, name: str) -> Peer:
        """Another member.

        Raises:
            RpcError: there is no channel to it yet.
        """
        peer = self._members.peers.get(name)
        if peer is None:
            raise RpcError(Status.UNAVAILABLE, "its address is not known")
        return peer

    def tell(self, caller: str, question: Ask) -> EpochAnswer:
        """Answer a node that asks for a newer epoch. Members alone are told, and those that were."""
        value = self._cluster.metadata
        if value is None or value.epoch <= question.epoch:
            return At(self._cluster.epoch)
        if question.cluster_id not in (b"", value.cluster_id):
            return Stranger("the cluster here is another one")
        if caller in value.members or caller in value.forgotten:
            return DecidedAlready(value)
        return Stranger(f"the cluster has no member {caller!r}")

    async def adopt(self, value: ClusterMetadata, teller: int) -> bool:
        """Take over a decided value, if it is newer; gives whether it was."""
        took = await self._cluster.adopt(value, teller)
        if took:
            await self._keep_channels()
        return took

    async def spread(self, value: ClusterMetadata, told: ToldMembers | None = None) -> int:
        """Tell every member of a decided value; gives how many have it now, this node included if it is one.

        One that does not answer in `SPREAD_SECONDS` asks when it hears a hello. Members that `told` has
        already are not told again.
        """
        told = told or ToldMembers()

        async def tell(peer: Peer) -> None:
            if await self.announce(peer, value):
                told.have.add(peer.name)

        with trio.move_on_after(SPREAD_SECONDS):
            async with trio.open_nursery() as nursery:
                for name in [name for name in value.members if name not in told.asked]:
                    peer = self._members.peers.get(name)
                    if peer is not None and not peer.foreign:
                        told.asked.add(name)
                        nursery.start_soon(tell, peer)
        return len(told.have) + value.is_member(self._cluster.own)

    async def spread_to_majority(self, value: ClusterMetadata) -> None:
        """Tell members of a value until a majority of them has it. Then this node may go: nobody needs it."""
        while True:
            if await self.spread(value) >= majority(len(value.members)):
                return
            await trio.sleep(EPOCH_SECONDS)

    async def announce(self, peer: Peer, decided: ClusterMetadata | None = None) -> bool:
        """Tell a member of what was `decided`, or of our epoch; gives whether it has that, or a newer one."""
        value = decided or self._cluster.metadata
        if value is None:
            return False
        try:
            reply = await self.ask(peer, Announce(value, self._cluster.own.birth))
        except (RpcError, WireError) as error:
            self._log.debug("epoch not told", peer=peer.name, epoch=value.epoch, reason=str(error))
            return False
        return isinstance(reply, At) and reply.epoch >= value.epoch
