"""What the tests of the node's parts share: a store with its shards, a wall clock, and a stream in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import trio

from gossipnode.core.property import Entity, Record, ShardId
from gossipnode.core.tag_value import TagValue
from gossipnode.core.version import HybridClock
from gossipnode.node.settings import GroupSettings
from gossipnode.node.shards import Shards
from gossipnode.rpc import RpcError
from gossipnode.store.memory_store import MemoryStore
from gossipnode.wire.canonical_json import leaf_digest
from gossipnode.wire.property_edit import build_property, read_tags

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


class WallClock:
    """A clock that stands where it was set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def memory_store(**options: Any) -> MemoryStore:
    return MemoryStore(leaf_digest=partial(leaf_digest, spacing="none"), **options)


def make_shards(
    store: MemoryStore | None = None,
    *,
    groups: dict[str, int] | None = None,
    wall_clock: WallClock | None = None,
) -> Shards:
    """The shards of node a, of two."""
    settings = {
        name: GroupSettings(shards=shards, replicas=3) for name, shards in (groups or {"sw": 1}).items()
    }
    return Shards(
        "a", ("a", "b"), settings, store or memory_store(), HybridClock(), wall_clock or WallClock()
    )


def prop(key: str, group: str = "sw", **tags: TagValue) -> bytes:
    """A client's property, encoded; `key` is NAME/ID."""
    name, _, item = key.partition("/")
    return build_property(Entity(group, name, item), tags or {"k": "v"})


def entity(key: str, group: str = "sw") -> Entity:
    return Entity(group, *key.split("/", 1))


def tags_of(record: Record | None) -> dict[str, TagValue]:
    assert record is not None
    return read_tags(record.payload)


async def stored(shards: Shards, key: str, group: str = "sw") -> Record | None:
    of = entity(key, group)
    (record,) = await shards.store.read(shards.shard_of(of), (of,))
    return record


async def put(shards: Shards, *records: Record) -> None:
    """Store records as a session would: with the stamps that they have."""
    await shards.store.write([(shards.shard_of(record.entity), record) for record in records])


async def all_records(shards: Shards, group: str = "sw") -> dict[str, Record]:
    found: dict[str, Record] = {}
    for number in range(shards.shard_count(group)):
        for record in await shards.store.scan(ShardId(group, number), limit=1_000_000):
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


def as_error(error: BaseException) -> RpcError:
    """The RpcError inside the groups that nurseries put round it, as the server does it."""
    from gossipnode.rpc.status import find_rpc_error

    found = find_rpc_error(error)
    assert isinstance(found, RpcError)
    return found
