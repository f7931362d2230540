"""Which nodes are members: takes nodes in, lets them go, and keeps channels as the newest epoch says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import structlog
import trio

from gossipnode.concurrency.change_event import first_of
from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.config.settings import Settings
from gossipnode.config.values import WrongValueError, member_name
from gossipnode.core.cluster import changes
from gossipnode.core.cluster.change_refusals import ChangeRefusedError
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Member
from gossipnode.core.cluster.settings_check import refused_settings
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.told_states import ToldStates
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.membership.epochs import Epochs
from gossipnode.node.membership.standing import keep_channels, look_elsewhere, not_a_member
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.hello import HELLO_TIMEOUT_SECONDS, Hellos
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import MemberError, TooFewMembersError
from gossipnode.rpc import RpcError
from gossipnode.store.interface import StoreError
from gossipnode.wire import services
from gossipnode.wire.epochs.metadata_codec import MetadataTooLargeError
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb

FORMED_PATIENCE_SECONDS = 5.0
"""How long a change of members waits for the cluster to be formed."""

CHANGE_PAUSE_SECONDS = 5.0
"""The pause before this node tries again to have its own address, or its own leaving, decided."""


LOOK_ELSEWHERE_SECONDS = 3.0
"""How long a member that never answered is looked for at one address, where the settings name another."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of a member that is to go."""

    leaving: bool
    """It answers, and stays a source until all that it holds is handed over."""
    epoch: int
    acknowledged: int
    members: int


class MemberAdmin:
    """Changes which nodes are members."""

    def __init__(
        self,
        settings: Settings,
        cluster: ClusterState,
        members: Members,
        news: EpochNews,
        epochs: Epochs,
        hellos: Hellos,
        dialer: PeerDialer,
    ) -> None:
        """Keep `members` as `cluster` has it; changes are decided by `epochs`."""
        self._settings = settings
        self._cluster = cluster
        self._members = members
        self._news = news
        self._epochs = epochs
        self._hellos = hellos
        self._dialer = dialer
        self._log = structlog.get_logger("gossipnode.membership")
        self._told = ToldStates(self._log)

    async def follow(self) -> None:
        """Follow the newest epoch, until cancelled: channels to new members, none to those that went."""
        while True:
            changed, moved = self._cluster.changed.pending, self._members.moved.pending
            await keep_channels(self._settings, self._cluster, self._members)
            with trio.move_on_after(LOOK_ELSEWHERE_SECONDS):
                await first_of(changed, moved)
                continue
            look_elsewhere(self._members)

    async def announce_address(self) -> None:
        """Have our own address decided, if the newest epoch has another one. It is in every hello anyway."""
        address = str(self._settings.node.advertise)
        while True:
            changed, own = self._cluster.changed.pending, self._cluster.own
            value = self._cluster.metadata
            known = None if value is None else value.members.get(own.name)
            if known is None or known.birth != own.birth or known.address == address:
                await changed.wait()
                continue
            if not await self._try(partial(changes.join, newcomer=Member(own.name, address, own.birth))):
                await trio.sleep(CHANGE_PAUSE_SECONDS)

    async def no_longer(self) -> str:
        """Wait until the cluster has this node no more, as a member; gives why.

        Nobody is left in doubt: it goes once a majority of those that stay has the epoch.
        """
        cluster = self._cluster
        while cluster.metadata is None or cluster.is_member or cluster.boot.birth.takes_over:
            if self._news.refusal:
                return self._news.refusal
            await cluster.changed.wait()
        await self._news.spread_to_majority(cluster.metadata)
        return not_a_member(cluster.metadata, cluster.own)

    async def join(
        self, newcomer: Member, groups: list[Group], *, replace: bool, accept_loss: bool
    ) -> ClusterMetadata:
        """Take a node in, or recognise it as a member; gives the value in which it is one.

        Raises:
            MemberError: its name, its address or its settings are not valid, or it does not answer there.
            ChangeRefusedError: the name belongs to another store, or acknowledged writes could be lost.
            NotFormedError, TooFewMembersError, MetadataTooLargeError, StoreError.
        """
        try:
            member_name(newcomer.name)
            address = parse_address(newcomer.address)
        except (WrongValueError, AddressError) as error:
            raise MemberError(str(error)) from None
        await self._cluster.wait_formed(FORMED_PATIENCE_SECONDS)
        value = self._cluster.metadata
        assert value is not None
        refusal = refused_settings(value, groups)
        if refusal:
            raise MemberError(refusal)
        known = value.members.get(newcomer.name)
        if known is None or known.birth != newcomer.birth:
            await self._check_answers(newcomer, address)
        change: changes.Change = partial(changes.join, newcomer=newcomer)
        if replace and known is not None and known.birth != newcomer.birth:
            await self._check_gone(known)
            change = partial(
                changes.replace_member, newcomer=newcomer, accept_loss=accept_loss, gone=known.birth
            )
        after, _ = await self._epochs.change(change)
        if after is not value:
            self._log.info(
                "member taken in", member=newcomer.name, address=newcomer.address, epoch=after.epoch
            )
        return after

    async def forget(self, name: str, *, accept_loss: bool = False, force: bool = False) -> Forgotten:
        """Let a member go that answers, or drop one that does not.

        Raises:
            NoSuchThingError: no member has the name.
            ChangeRefusedError: acknowledged writes could be lost, or too few members would be left.
            NotFormedError, TooFewMembersError, StoreError.
        """
        await self._cluster.wait_formed(FORMED_PATIENCE_SECONDS)
        value = self._cluster.metadata
        assert value is not None
        known = value.members.get(name)
        birth = None if known is None else known.birth
        answers = known is not None and await self._answers(known)
        change: changes.Change
        if answers:
            change = partial(changes.leave, name=name, force=force, birth=birth)
        else:
            change = partial(changes.drop, name=name, accept_loss=accept_loss, force=force, birth=birth)
        after, acknowledged = await self._epochs.change(change)
        self._log.info("member leaves" if answers else "member dropped", member=name, epoch=after.epoch)
        return Forgotten(name in after.members, after.epoch, acknowledged, len(after.members))

    async def go(self) -> None:
        """Have our own leaving completed: nothing is left here that others may lack."""
        own = self._cluster.own
        if not await self._try(partial(changes.drop, name=own.name, birth=own.birth)):
            await trio.sleep(CHANGE_PAUSE_SECONDS)

    async def _try(self, change: changes.Change) -> bool:
        try:
            await self._epochs.change(change)
        except (ChangeRefusedError, TooFewMembersError, MetadataTooLargeError, StoreError) as error:
            self._told.tell("change", "change not decided yet", epoch=self._cluster.epoch, reason=str(error))
            return False
        self._told.is_over("change")
        return True

    async def _answers(self, member: Member) -> bool:
        """Whether the very store of a member answers."""
        if member.identity == self._cluster.own:
            return True
        peer = self._members.peers.get(member.name)
        if peer is None:
            return False
        await self._hellos.greet(peer)
        return peer.state == "up" and peer.birth == member.birth

    async def _check_answers(self, newcomer: Member, address: Address) -> None:
        """A node that nobody can reach at its address would be a member that nobody can ask."""
        problem = ""
        try:
            reply = await self._hello_at(address)
            if (reply.node, reply.birth) != (newcomer.name, newcomer.birth):
                problem = f"{reply.node[:80]!r} answers there, with another data directory"
        except RpcError as error:
            problem = error.message or str(error)
        if problem:
            raise MemberError(
                f"{newcomer.name} is not reached at {address}: {problem}; --advertise says where others "
                "reach it"
            )

    async def _check_gone(self, known: Member) -> None:
        """Only what does not answer any more is replaced."""
        peer = self._members.peers.get(known.name)
        try:
            address = parse_address(known.address) if peer is None else peer.address
            reply = await self._hello_at(address)
        except (RpcError, AddressError):
            return
        if (reply.node, reply.birth) == known.identity:
            raise MemberError(
                f"a member {known.name!r} is running already, at {address}: give every node a name of its own"
            )

    async def _hello_at(self, address: Address) -> pb.HelloMessage:
        async with self._dialer.open(None, address) as channel:
            return await channel.unary(
                services.REPLICA_HELLO,
                self._hellos.hello(),
                timeout=HELLO_TIMEOUT_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )
