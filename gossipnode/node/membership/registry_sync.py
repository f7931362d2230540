"""Keeping registries alike: a change is sent to every member at once, and whoever differs compares.

Two registries are compared by a tree session over the system group, like all records. A member that is down
gets what it missed when it says hello again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from gossipnode.core.cluster.registry_records import Tags
from gossipnode.core.cluster.view import SYSTEM_SHARD
from gossipnode.core.model.property import Entity, Record
from gossipnode.core.query.replica_messages import WriteRecords
from gossipnode.node.coordinate.replicas import note_failure
from gossipnode.node.local.registry import registry_record
from gossipnode.node.local.shards import Shards
from gossipnode.node.peers.exchange_link import REPLICA_SECONDS
from gossipnode.node.peers.members import Members, Peer
from gossipnode.rpc import RpcError
from gossipnode.wire.property.draft import draft_of
from gossipnode.wire.property.property_edit import read_property

REGISTRY_SPREAD_SECONDS = 2.0
"""How long a change of the registry waits for the members that are there."""

Compare = Callable[[Peer], Awaitable[object]]
"""A session over the system group with a peer, whatever comes of it."""


class RegistrySync:
    """Changes the registry, and compares it with others."""

    def __init__(self, shards: Shards, members: Members, compare: Compare) -> None:
        """Write to the registry of `shards`; `compare` opens a session."""
        self._shards = shards
        self._members = members
        self._compare = compare
        self._comparing: dict[str, trio.Event] = {}
        self._writing = trio.Lock()

    async def sync(self, name: str) -> None:
        """Compare with a member. When that is under way already, its end is waited for instead."""
        under_way = self._comparing.get(name)
        if under_way is not None:
            await under_way.wait()
            return
        peer = self._members.peers.get(name)
        if peer is None:
            return
        done = self._comparing[name] = trio.Event()
        try:
            await self._compare(peer)
        finally:
            del self._comparing[name]
            done.set()

    async def put(self, entity: Entity, tags: Tags) -> Record:
        """Write a record of the registry here; `spread` sends it to the others.

        Raises:
            StoreError: it was not kept.
        """
        async with self._writing:
            held = self._shards.registry.record(entity)
            stamp = self._stamp(held)
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
            held = self._shards.registry.record(entity)
            if held is None or held.deleted:
                return None
            stamp = self._stamp(held)
            draft = draft_of(held)
            return await self._keep(
                draft.stamped(create_revision=draft.create_revision, mod_revision=stamp, delete_time=stamp)
            )

    def _stamp(self, held: Record | None) -> int:
        above = 0 if held is None else max(held.version.mod_revision, held.version.delete_time)
        return self._shards.clock.next(self._shards.wall_clock(), above=above)

    async def _keep(self, record: Record) -> Record:
        await self._shards.write([(SYSTEM_SHARD, record)])
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
                note_failure(peer, error)
            else:
                took += 1

        with trio.move_on_after(REGISTRY_SPREAD_SECONDS):
            async with trio.open_nursery() as nursery:
                for peer in self._members.peers.values():
                    if not peer.foreign:
                        nursery.start_soon(send, peer)
        return took
