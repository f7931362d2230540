"""What the tests of the node's parts share: a store with its shards, a wall clock, and a stream in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from gossipnode.config.address import Address
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.registry_records import SETTLED_ENTITY, member_entity, member_tags, settled_tags
from gossipnode.core.cluster.view import Group, Member
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.tag_value import TagValue
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.coordinate.coordination import make_coordination
from gossipnode.node.coordinate.coordinator import Coordinator
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.local.local_state import LocalState, local_state
from gossipnode.node.local.registry import Registry, registry_record
from gossipnode.node.membership.registry_sync import RegistrySync
from gossipnode.node.peers.members import Members
from gossipnode.node.query.queries import Queries
from gossipnode.node.repair.sessions import SessionBounds, Sessions
from gossipnode.node.replica.replica import Replica
from gossipnode.rpc import Channel
from gossipnode.store.memory import MemoryStore
from gossipnode.wire.property.canonical_json import leaf_digest
from gossipnode.wire.property.index_rows import payload_rows
from gossipnode.wire.property.property_edit import read_tags
from tests.records import entity

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


class WallClock:
    """A clock that stands where it was set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def memory_store(**options: Any) -> MemoryStore:
    return MemoryStore(
        leaf_digest=partial(leaf_digest, spacing="none"), **{"index_rows": payload_rows, **options}
    )


def make_local(
    store: MemoryStore | None = None,
    *,
    groups: dict[str, int] | None = None,
    wall_clock: WallClock | None = None,
    own_name: str = "a",
    members: Sequence[str] = ("a", "b"),
    replicas: int = 3,
    ack: AckLevel = AckLevel.LOCAL,
) -> LocalState:
    """What a node of two holds and knows; `groups` maps a name to its number of shards."""
    definitions = {
        name: Group(name, shards=shards, replicas=replicas, ack=ack)
        for name, shards in (groups or {"sw": 1}).items()
    }
    store = store or memory_store()
    registry = Registry(store, definitions)
    registry.took(member_seeds(members))
    return local_state(own_name, store, registry, wall_clock or WallClock())


def member_seeds(members: Sequence[str]) -> list[Record]:
    """What the configuration of a settled cluster says of its members."""
    tags = {member_entity(name): member_tags(Member(name, f"{name}:7400")) for name in members}
    tags[SETTLED_ENTITY] = settled_tags(dict.fromkeys(members, 0))
    return [registry_record(entity, each, revision=1, created=1) for entity, each in tags.items()]


@dataclass(frozen=True)
class Alone:
    """What serves clients on one node that has no other member to ask."""

    local: LocalState
    steps: RecordSteps
    coordinator: Coordinator
    bulk: BulkWrites
    queries: Queries
    members: Members


async def serve(nursery: trio.Nursery, local: LocalState) -> Alone:
    """The parts that serve clients from what one node holds. There is no channel to any other member."""
    members = Members(local.own_name, Address(local.own_name, 7400), no_channel, {})
    sync = RegistrySync(local, members, Sessions(local, members, SessionBounds(60.0, 256)))
    made = make_coordination(local, members, Replica(local), sync)
    await nursery.start(made.replicas.run)
    nursery.start_soon(made.read_repair.run)
    queries = Queries(local, members, made.steps)
    return Alone(local, made.steps, made.coordinator, made.bulk, queries, members)


def no_channel(name: str, address: Address) -> Channel:
    raise AssertionError(f"nobody is to call {name} at {address}")


def tags_of(record: Record | None) -> dict[str, TagValue]:
    assert record is not None
    return read_tags(record.payload)


async def stored(local: LocalState, key: str, group: str = "sw") -> Record | None:
    of = entity(key, group)
    (record,) = await local.store.read(local.shards.shard_of(of), (of,))
    return record


async def put(local: LocalState, *records: Record) -> None:
    """Store records as a session would: with the stamps that they have."""
    await local.store.write([(local.shards.shard_of(record.entity), record) for record in records])


async def all_records(local: LocalState, group: str = "sw") -> dict[str, Record]:
    found: dict[str, Record] = {}
    for number in range(local.shards.shard_count(group)):
        for record in await local.store.scan(ShardId(group, number), limit=1_000_000):
            found[f"{record.entity.name}/{record.entity.id}"] = record
    return found


class Pipe:
    """One direction of a stream: messages in order, no more of them unread than its window holds."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.messages: deque[Any] = deque()
        self.taken = 0
        self.ended = False
        self.error: Exception | None = None
        self._changed = trio.Event()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def end(self, error: Exception | None = None) -> None:
        self.ended, self.error = True, error
        self._change()

    async def put(self, *messages: Any) -> None:
        for message in messages:
            while len(self.messages) >= self.window:
                await self._changed.wait()
            self.messages.append(message)
            self._change()
        await trio.lowlevel.checkpoint()

    async def take(self, most: int) -> list[Any]:
        await trio.lowlevel.checkpoint()
        while not self.messages:
            if self.error is not None:
                raise self.error
            if self.ended:
                return []
            await self._changed.wait()
        batch = [self.messages.popleft() for _ in range(min(most, len(self.messages)))]
        self.taken += len(batch)
        self._change()
        return batch


class FakeStream:
    """One side of two pipes, as a session sees a gRPC stream."""

    def __init__(self, inbound: Pipe, outbound: Pipe) -> None:
        self.inbound = inbound
        self.outbound = outbound

    async def recv_batch(self, max_messages: int) -> Sequence[Any]:
        return await self.inbound.take(max_messages)

    async def send_batch(self, messages: Sequence[Any]) -> None:
        await self.outbound.put(*messages)

    async def half_close(self) -> None:
        await trio.lowlevel.checkpoint()
        self.outbound.end()


def stream_pair(window: int) -> tuple[FakeStream, FakeStream]:
    there, back = Pipe(window), Pipe(window)
    return FakeStream(back, there), FakeStream(there, back)
