"""Keeps registries alike: a change is sent to every member at once, and members that differ compare.

Two registries are compared by a tree session over the system group, as all records are. A member that is down
gets what it missed when it says hello again.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog
import trio

from gossipnode.core.cluster.registry_records import Tags
from gossipnode.core.cluster.view import SYSTEM_SHARD
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.query.replica_messages import WriteRecords
from gossipnode.node.local.local_state import LocalState
from gossipnode.node.local.registry import registry_record
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members, Peer
from gossipnode.node.repair.sessions import Sessions
from gossipnode.rpc import RpcError
from gossipnode.wire.property.draft import draft_of
from gossipnode.wire.property.property_edit import read_property

REGISTRY_SPREAD_SECONDS = 2.0
"""How long a change of the registry waits for members to take it."""


class RegistrySync:
    """Changes the registry, and compares it with that of other members."""

    def __init__(self, local: LocalState, members: Members, sessions: Sessions) -> None:
        """Write to the registry of `local`, and compare it by `sessions`."""
        self._registry = local.registry
        self._writer = local.writer
        self._clock = local.clock
        self._members = members
        self._sessions = sessions
        self._comparing: dict[str, trio.Event] = {}
        self._writing = trio.Lock()
        self._log = structlog.get_logger("gossipnode.cluster")

    async def follow(self) -> None:
        """Compare with every peer whose hello tells of another registry, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                told = self._members.told.pending
                # A comparison that is under way may miss the difference. The member's next hello tells of it
                # again.
                differing = sorted(self._members.differing - self._comparing.keys())
                self._members.differing.clear()
                for name in differing:
                    nursery.start_soon(self.compare, name)
                await told.wait()

    async def compare(self, name: str) -> None:
        """Compare with a member. If a comparison with it is under way already, wait for that one."""
        under_way = self._comparing.get(name)
        if under_way is not None:
            await under_way.wait()
            return
        peer = self._members.peers.get(name)
        if peer is None:
            return
        done = self._comparing[name] = trio.Event()
        try:
            hop = await self._sessions.compare(peer, SYSTEM_SHARD, self._members.metadata)
            if not hop.successful:
                self._log.info("registries not compared", peer=name, reason=hop.reason)
        finally:
            del self._comparing[name]
            done.set()

    def members_up(self) -> Iterable[str]:
        """The members that a comparison is likely to reach."""
        return [name for name, peer in self._members.peers.items() if peer.state == "up" and not peer.foreign]

    async def put(self, entity: Entity, tags: Tags) -> Record:
        """Write a record of the registry here; `spread` sends it to the other members.

        Raises:
            StoreError: it was not kept.
        """
        async with self._writing:
            held = self._registry.record(entity)
            stamp = self._clock.next_over(held)
            created = stamp
            if held is not None and not held.deleted:
                created = read_property(held.payload).create_revision
            return await self._keep(registry_record(entity, tags, revision=stamp, created=created))

    async def remove(self, entity: Entity) -> Record | None:
        """Write the tombstone of a record of the registry here; None when nothing live is there.

        Raises:
            StoreError: it was not kept.
        """
        async with self._writing:
            held = self._registry.record(entity)
            if held is None or held.deleted:
                return None
            stamp = self._clock.next_over(held)
            draft = draft_of(held)
            return await self._keep(
                draft.stamped(create_revision=draft.create_revision, mod_revision=stamp, delete_time=stamp)
            )

    async def _keep(self, record: Record) -> Record:
        await self._writer.write([(SYSTEM_SHARD, record)])
        return record

    async def spread(self, *records: Record) -> int:
        """Send records of the registry to every member; gives how many have them now, this node included.

        One that does not answer in time compares when it says hello.
        """
        request = WriteRecords(SYSTEM_SHARD, b"", records)
        took = 1

        async def send(peer: Peer) -> None:
            nonlocal took
            try:
                await peer.link.ask(request, timeout=REPLICA_SECONDS)
            except RpcError as error:
                peer.request_failed(error)
            else:
                took += 1

        with trio.move_on_after(REGISTRY_SPREAD_SECONDS):
            async with trio.open_nursery() as nursery:
                for peer in self._members.peers.values():
                    if not peer.foreign:
                        nursery.start_soon(send, peer)
        return took
