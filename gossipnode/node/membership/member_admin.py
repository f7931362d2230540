"""Which nodes are members: takes nodes in, forgets them, and keeps channels as the registry says."""

from __future__ import annotations

import math
from dataclasses import replace

import structlog
import trio

from gossipnode.config.address import AddressError, parse_address
from gossipnode.config.settings import Settings
from gossipnode.config.values import WrongValueError, member_name
from gossipnode.core.cluster.registry_records import member_entity, member_tags
from gossipnode.core.cluster.view import Member
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.membership.boot import addresses
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.members import Members
from gossipnode.node.refusals.request_errors import MemberError, UnknownMemberError
from gossipnode.store.interface import StoreError

REBORN_PAUSE_SECONDS = 1.0
"""The pause before the next try to write down that a member has lost its store."""


class MemberAdmin:
    """Changes which nodes are members."""

    def __init__(self, settings: Settings, local: LocalState, members: Members, sync: RegistrySync) -> None:
        """Keep `members` as the registry of `local` has it."""
        self._settings = settings
        self._registry = local.registry
        self._clock = local.clock
        self._members = members
        self._sync = sync
        self._log = structlog.get_logger("gossipnode.membership")

    async def follow(self) -> None:
        """Follow the registry, until cancelled: channels to new members, none to forgotten ones."""
        registry = self._registry
        while True:
            changed = registry.changed.pending
            await self._members.sync(addresses(self._settings, registry))
            for name in sorted(registry.reborn):
                await self._count_as_new(name)
            with trio.move_on_after(REBORN_PAUSE_SECONDS if registry.reborn else math.inf):
                await changed.wait()

    async def _count_as_new(self, name: str) -> None:
        """Write down that a member, which came back without its records and did not know it, is a new one."""
        registry = self._registry
        member = registry.view.members.get(name)
        if member is None:
            registry.reborn.discard(name)
            return
        self._log.warning("member came back with another store: it fills itself again", member=name)
        stamp = self._clock.next()
        try:
            record = await self._sync.put(member_entity(name), member_tags(replace(member, joined=stamp)))
        except StoreError as error:
            self._log.warning("member not counted as new yet", member=name, reason=str(error))
            return
        registry.reborn.discard(name)
        await self._sync.spread(record)

    async def forgotten(self) -> None:
        """Wait until the cluster has forgotten this node."""
        registry = self._registry
        while self._members.own_name in registry.view.members:
            await registry.changed.wait()

    async def join(self, name: str, address: str, birth: int) -> None:
        """Take a node in, or recognise it as a member.

        Raises:
            MemberError: its name or address is not valid, another node has its name, or it was forgotten.
        """
        try:
            member_name(name)
            parse_address(address)
        except (WrongValueError, AddressError) as error:
            raise MemberError(str(error)) from None
        known = self._registry.view.members.get(name)
        joined = 0 if known is None else known.joined
        if known is None or known.birth not in (0, birth):
            self._check_newcomer(name, address, birth)
            joined = self._clock.next()
        member = Member(name, address, joined, birth)
        if member != known:
            record = await self._sync.put(member_entity(name), member_tags(member))
            await self._sync.spread(record)
            self._log.info("member taken in", member=name, address=address)

    def _check_newcomer(self, name: str, address: str, birth: int) -> None:
        peer = self._members.peers.get(name)
        # A node at the same address can only have replaced the one that we knew.
        elsewhere = peer is not None and peer.state == "up" and str(peer.address) != address
        if name == self._members.own_name or elsewhere:
            raise MemberError(f"a member {name!r} is running already: give every node a name of its own")
        if self._registry.has_forgotten(name, birth):
            raise MemberError(
                f"{name!r} was forgotten: start it with an empty data directory, as a new member"
            )

    async def forget(self, name: str) -> int:
        """Remove a member; gives how many members know of it.

        Raises:
            UnknownMemberError: no member has the name.
        """
        record = await self._sync.remove(member_entity(name))
        if record is None:
            raise UnknownMemberError(f"there is no member {name[:80]!r}: see `members`")
        self._log.info("member forgotten", member=name)
        return await self._sync.spread(record)
