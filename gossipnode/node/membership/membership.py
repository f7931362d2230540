"""Membership as a whole: the parts of this room, put together. The face of this room.

Membership
 |- boot         once: become a member, and get to know the other members
 |- members      channels follow the registry
 |- groups       definitions that were made at two members at once
 |- hellos       to every member
 `- sync         compares registries with members that have another one
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from gossipnode.config.settings import Settings
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.boot import Boot
from gossipnode.node.membership.group_admin import GroupAdmin
from gossipnode.node.membership.member_admin import MemberAdmin
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.hello import Hellos
from gossipnode.node.peers.members import Members
from gossipnode.node.repair.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Membership:
    """Who is a member, and which groups there are."""

    sync: RegistrySync
    hellos: Hellos
    boot: Boot
    members: MemberAdmin
    groups: GroupAdmin

    async def run(self) -> None:
        """Follow the registry and the members, until cancelled. `boot.run` first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.members.follow)
            nursery.start_soon(self.groups.follow)
            nursery.start_soon(self.hellos.run)
            nursery.start_soon(self.sync.follow)


def make_membership(
    settings: Settings, local: LocalState, members: Members, sessions: Sessions, dialer: PeerDialer
) -> Membership:
    """The parts. Nothing runs yet."""
    sync = RegistrySync(local, members, sessions)
    hellos = Hellos(local, members)
    return Membership(
        sync=sync,
        hellos=hellos,
        boot=Boot(settings, local, members, sync, hellos, dialer),
        members=MemberAdmin(settings, local, members, sync),
        groups=GroupAdmin(local, sync),
    )
