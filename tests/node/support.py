"""What the tests of a node's parts share: what one node holds and knows, and a node that serves alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from gossipnode.config.address import Address
from gossipnode.core.cluster.changes import first_epoch
from gossipnode.core.cluster.cluster_metadata import ClusterMetadata, Group, Member
from gossipnode.core.cluster.deciding.acceptor import AcceptorState
from gossipnode.core.cluster.placement import AckLevel
from gossipnode.core.cluster.view import ClusterView
from gossipnode.core.model.property import Record, ShardId
from gossipnode.core.model.tag_value import TagValue
from gossipnode.node.coordinate.bulk_writes import BulkWrites
from gossipnode.node.coordinate.coordination import make_coordination
from gossipnode.node.coordinate.coordinator import Coordinator
from gossipnode.node.coordinate.record_steps import RecordSteps
from gossipnode.node.identity.birth import Birth
from gossipnode.node.identity.boot_memory import BootMemory
from gossipnode.node.identity.own_boot import OwnBoot
from gossipnode.node.local.cluster_state import ClusterState
from gossipnode.node.local.local_state import LocalState, local_state
from gossipnode.node.membership.epoch_news import EpochNews
from gossipnode.node.peers.members import Members
from gossipnode.node.query.queries import Queries
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
    return MemoryStore(**{"leaf_digest": LEAF_DIGEST, "index_rows": payload_rows, **options})


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
    definitions = [
        Group(name, shards=shards, replicas=replicas, ack=ack)
        for name, shards in (groups or {"sw": 1}).items()
    ]
    store = store or memory_store()
    value = formed(members, definitions)
    cluster = ClusterState(store, own_name, cleared_boot(store, birth(own_name)), value)
    see(cluster, value)
    return local_state(store, cluster, wall_clock or WallClock())


def cleared_boot(store: MemoryStore, number: int) -> OwnBoot:
    """A start of a store that counts."""
    boot = OwnBoot(store, Birth(number), earlier=0, nonce=1, recovered=0)
    boot.counted = boot.cleared = boot.noted = True
    return boot


def birth(name: str) -> int:
    """The birth of a member's store in these tests."""
    return sum(ord(letter) << 8 * at for at, letter in enumerate(name)) or 1


def formed(members: Sequence[str], groups: Sequence[Group] = ()) -> ClusterMetadata:
    """A cluster that is formed by these members."""
    return first_epoch(
        bytes(16), bytes(16), [Member(name, f"{name}:7400", birth(name)) for name in members], groups
    )


def see(cluster: ClusterState, value: ClusterMetadata) -> None:
    """Have a node look at an epoch, which is not kept."""
    cluster.acceptor = AcceptorState(cluster.own.birth, value)
    cluster.view = ClusterView(value)
    cluster.changed.notify()


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
    members = Members(local.own_name, Address(local.own_name, 7400), no_channel, {}, BootMemory(local.store))
    news = EpochNews(local.cluster, members, trio.lowlevel.checkpoint)
    made = make_coordination(local, members, Replica(local), news)
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
