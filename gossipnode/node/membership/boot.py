"""How a node becomes a member when it starts: by its configuration, or by asking a member.

Before it is ready, it compares its registry with those of the members that are up, so that it does not answer
from an old one.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.config.settings import Settings
from gossipnode.core.cluster.registry_records import member_entity, member_tags
from gossipnode.core.cluster.view import SYSTEM_SHARD, Member
from gossipnode.core.model.property import Record
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.registry import Registry, configured_records
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.certificates import PeerDialer
from gossipnode.node.peers.hello import HELLO_TIMEOUT_SECONDS, Hellos
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError, Status
from gossipnode.store.interface import Store
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import replica_pb2 as pb
from gossipnode.wire.property.payload import decode_record
from gossipnode.wire.wire_errors import WireError

JOIN_SECONDS = 30.0
JOIN_PAUSE_SECONDS = 1.0
"""How long a node tries to reach a member of the cluster that it is to join, and the pause between tries."""

BOOT_GREETING_SECONDS = 1.5
"""How long a node that starts compares registries with other members, before it is ready all the same."""

BIRTH_NOTE = "birth"
"""The store's note of when it was made, in nanoseconds."""


class NotAMemberError(Exception):
    """This node is not a member of its cluster and cannot become one. The text says why, and what to do."""


async def birth_of(store: Store, now: int) -> int:
    """When a store was made, by its note. A store without one gets a note that says `now`.

    So does one whose note has rotted: it then counts as another store, and is filled again.
    """
    note = await store.note(BIRTH_NOTE)
    if note is not None and note.isdigit():
        return int(note)
    await store.keep_note(BIRTH_NOTE, str(now).encode())
    return now


class Boot:
    """Brings this node into its cluster."""

    def __init__(
        self,
        settings: Settings,
        local: LocalState,
        members: Members,
        sync: RegistrySync,
        hellos: Hellos,
        dialer: PeerDialer,
    ) -> None:
        """Register in the registry of `local`; `dialer` reaches members of unknown name."""
        self._settings = settings
        self._registry = local.registry
        self._store = local.store
        self._writer = local.writer
        self._clock = local.clock
        self._members = members
        self._sync = sync
        self._hellos = hellos
        self._dialer = dialer
        self._log = structlog.get_logger("gossipnode.membership")

    async def run(self, birth: int) -> None:
        """Become a member, and get to know the other members.

        Raises:
            NotAMemberError: the cluster forgot this node, refuses it, or cannot be found, or another node has
                its name.
            StoreError: the registry cannot be kept.
        """
        registry = self._registry
        join = self._settings.cluster.join
        if not join:
            await registry.seed(configured_records(self._settings))
        elif self._members.own_name not in registry.view.members:
            await self._join(join, birth)
        await self._members.sync(addresses(self._settings, registry))
        with trio.move_on_after(BOOT_GREETING_SECONDS):
            async with trio.open_nursery() as nursery:
                for peer in self._members.peers.values():
                    nursery.start_soon(self._get_to_know, peer)
        await self._members.sync(addresses(self._settings, registry))
        await self._announce(birth)

    async def _get_to_know(self, peer: Peer) -> None:
        """Say hello to a member, and compare registries if they differ."""
        await self._hellos.greet(peer)
        if peer.name in self._members.differing:
            self._members.differing.discard(peer.name)
            await self._sync.compare(peer.name)

    async def _announce(self, birth: int) -> None:
        """Register our address, if it is not known; as a new member, if we have lost our records."""
        registry = self._registry
        name, address = self._members.own_name, str(self._settings.node.advertise)
        known = registry.view.members.get(name)
        # A forgotten node that was restarted after it had handed over still has its old store, without
        # records.
        kept = registry.has_forgotten(name, birth) or len(self._store.shards()) > 1
        if known is None and name in registry.view.forgotten and kept:
            raise NotAMemberError(
                f"the cluster has forgotten {name}: start it with an empty data directory, as a new member"
            )
        joined = 0 if known is None else known.joined
        if known is None or known.birth not in (0, birth):
            if known is not None and await self._runs_elsewhere(known):
                raise NotAMemberError(
                    f"a member {name!r} is running already, at {known.address}: give every node a name of "
                    "its own"
                )
            joined = self._clock.next()
        if known != Member(name, address, joined, birth):
            record = await self._sync.put(
                member_entity(name), member_tags(Member(name, address, joined, birth))
            )
            await self._sync.spread(record)

    async def _runs_elsewhere(self, known: Member) -> bool:
        """Whether another node answers to our name where it is registered."""
        try:
            address = parse_address(known.address)
        except AddressError:
            return False
        if address == self._settings.node.advertise:
            return False
        try:
            async with self._dialer.open(None, address) as channel:
                reply = await channel.unary(
                    services.REPLICA_HELLO,
                    pb.HelloRequest(node=known.name),
                    timeout=HELLO_TIMEOUT_SECONDS,
                    metadata=self._members.metadata,
                    dial_now=True,
                )
        except RpcError:
            return False
        return reply.node == known.name

    async def _join(self, join: Sequence[Address], birth: int) -> None:
        """Ask the members at these addresses, one after the other, until one takes us in."""
        request = pb.JoinRequest(
            name=self._members.own_name, address=str(self._settings.node.advertise), birth=birth
        )
        problem = ""
        with trio.move_on_after(JOIN_SECONDS):
            while True:
                for address in join:
                    try:
                        reply = await self._ask(address, request)
                    except RpcError as error:
                        if error.status not in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED):
                            raise NotAMemberError(f"{address} does not take us in: {error.message}") from None
                        problem = error.message or str(error)
                        self._log.info("not joined yet", at=str(address), reason=problem)
                    else:
                        await self._take(reply)
                        return
                await trio.sleep(JOIN_PAUSE_SECONDS)
        raise NotAMemberError(f"no member to join: {problem}")

    async def _ask(self, address: Address, request: pb.JoinRequest) -> pb.JoinReply:
        async with self._dialer.open(None, address) as channel:
            return await channel.unary(
                services.REPLICA_JOIN,
                request,
                timeout=JOIN_SECONDS,
                metadata=self._members.metadata,
                dial_now=True,
            )

    async def _take(self, reply: pb.JoinReply) -> None:
        records: list[Record] = []
        for each in reply.registry:
            try:
                records.append(decode_record(each.property, each.delete_time))
            except WireError as error:
                raise NotAMemberError(f"the member that was asked sent a wrong registry: {error}") from None
        await self._writer.write([(SYSTEM_SHARD, record) for record in records])


def addresses(settings: Settings, registry: Registry) -> dict[str, Address]:
    """Where each member is: as this node's configuration says, else as the member itself has registered."""
    found: dict[str, Address] = {}
    for name, member in registry.view.members.items():
        configured = settings.members.get(name)
        try:
            found[name] = configured or parse_address(member.address)
        except AddressError:
            continue
    return found
