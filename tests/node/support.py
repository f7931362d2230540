"""What the tests of a node's parts share: what one node holds and knows, and a node that serves alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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


LEAF_DIGEST = partial(leaf_digest, spacing="none")


def memory_store(**options: Any) -> MemoryStore:
    return MemoryStore(leaf_digest=LEAF_DIGEST, **{"index_rows": payload_rows, **options})


def make_local(
    store: MemoryStore | None = None,
    *,
    groups: dict[str, int] | None = None,
    wall_clock: Callable[[], int] | None = None,
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


Start = Callable[..., Awaitable[Alone]]
"""Starts a node alone, with the arguments of `make_local`."""


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
