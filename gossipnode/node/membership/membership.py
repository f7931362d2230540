"""Membership as a whole: the parts of this room, put together. The face of this room.

Membership
 |- boot         once: find the cluster, and get to know the other members
 |- forming      until the members of the configuration have agreed to be a cluster
 |- news         compares epochs with members that know another one
 |- epochs       finishes what a proposer left undecided
 |- clearing     from the start on: whether the store counts, by the word of a majority
 |- members      channels follow the newest epoch
 `- hellos       from the start on: to every member
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import trio

from gossipnode.config.settings import Settings
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.boot import Boot
from gossipnode.node.membership.clearing import Clearing
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.membership.epochs import Epochs
from gossipnode.node.membership.forming import Forming
from gossipnode.node.membership.group_admin import GroupAdmin
from gossipnode.node.membership.joining import Joining
from gossipnode.node.membership.member_admin import MemberAdmin
from gossipnode.node.membership.standing import keep_channels
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.hello import Hellos
from gossipnode.node.peers.members import Members
from gossipnode.node.peers.shared_roots import SharedRoots


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is a member, and which groups there are."""

    news: EpochNews
    epochs: Epochs
    forming: Forming
    hellos: Hellos
    boot: Boot
    clearing: Clearing
    members: MemberAdmin
    groups: GroupAdmin

    async def run(self) -> None:
        """Follow the newest epoch and the members, until cancelled.

        `clearing.run`, `hellos.run` and `boot.run` come first.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.members.follow)
            nursery.start_soon(self.members.announce_address)
            nursery.start_soon(self.news.run)
            nursery.start_soon(self.epochs.finish_what_was_left)
            nursery.start_soon(self.forming.run)


def make_membership(
    settings: Settings,
    local: LocalState,
    members: Members,
    dialer: PeerDialer,
    roots: SharedRoots,
    rng: random.Random,
) -> Membership:
    """The parts. Nothing runs yet."""
    news = EpochNews(local.cluster, members, partial(keep_channels, settings, local.cluster, members))
    epochs = Epochs(local.cluster, members, news, rng)
    hellos = Hellos(local, members, roots)
    forming = Forming(local.cluster, members, epochs, rng)
    joining = Joining(settings, local.cluster, members, dialer)
    clearing = Clearing(settings, local.cluster, members, news, joining, rng)
    return Membership(
        news=news,
        epochs=epochs,
        forming=forming,
        hellos=hellos,
        boot=Boot(settings, local.cluster, members, news, forming, hellos, joining, clearing),
        clearing=clearing,
        members=MemberAdmin(settings, local.cluster, members, news, epochs, hellos, dialer),
        groups=GroupAdmin(local.cluster, epochs),
    )
