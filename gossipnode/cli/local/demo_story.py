"""What the demo writes, and what it proves, as functions on three nodes. The command tells the story."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

import trio

from gossipnode.cli.unicode_table import unicode_records
from gossipnode.client.calls.importer import Batch, Importer
from gossipnode.client.calls.node_client import connect_node
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.config.address import Address
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND, Timestamp
from gossipnode.core.session.tree import SlotDigest, make_tree

GROUP = "unicode"
COMMON_PART = 3 / 4
"""The part of the table that all three nodes get while all of them are up."""
ONLY_ON_A = 900
ONLY_ON_B = 600
NEWER_ON_A = 150
NEWER_ON_B = 150
DELETED_ON_A = 100
DELETED_ON_B = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """The table of characters, cut into what is written when and where."""

    common: Sequence[StoredProperty]
    both: Sequence[StoredProperty]
    """Written to a and b while c is down."""
    only_on_a: Sequence[StoredProperty]
    only_on_b: Sequence[StoredProperty]
    newer_on_a: Sequence[StoredProperty]
    newer_on_b: Sequence[StoredProperty]
    deleted_on_a: Sequence[StoredProperty]
    deleted_on_b: Sequence[StoredProperty]

    @property
    def records(self) -> int:
        """Characters in the table."""
        return len(self.common) + len(self.both) + len(self.only_on_a) + len(self.only_on_b)

    @property
    def live_at_the_end(self) -> int:
        """Records that every node must hold, alive."""
        return self.records - len(self.deleted_on_a) - len(self.deleted_on_b)


def make_plan(records: Sequence[StoredProperty]) -> Plan:
    """Cut the table. What is changed and deleted is taken from the common part, spread over it."""
    common_count = int(len(records) * COMMON_PART)
    common, late = records[:common_count], records[common_count:]
    changed = common[:: max(1, common_count // (NEWER_ON_A + NEWER_ON_B + DELETED_ON_A + DELETED_ON_B))]
    cuts = [NEWER_ON_A, NEWER_ON_B, DELETED_ON_A, DELETED_ON_B]
    parts: list[Sequence[StoredProperty]] = []
    for size in cuts:
        parts.append(changed[:size])
        changed = changed[size:]
    only = ONLY_ON_A + ONLY_ON_B
    return Plan(common, late[only:], late[:ONLY_ON_A], late[ONLY_ON_A:only], *parts)


def unicode_table() -> list[StoredProperty]:
    """The whole table."""
    return list(unicode_records(GROUP))


class Stamps:
    """Stamps as a node would give them: each is above the one before, and none is far ahead of the clock."""

    def __init__(self) -> None:
        self._last = time.time_ns()

    def stamped(self, record: StoredProperty) -> StoredProperty:
        """The record as a fresh write."""
        self._last = max(time.time_ns(), self._last + 1)
        updated_at = Timestamp(*divmod(self._last, NANOSECONDS_PER_SECOND))
        return replace(
            record,
            create_revision=record.create_revision or self._last,
            mod_revision=self._last,
            updated_at=updated_at,
        )

    def changed(self, record: StoredProperty, by: str) -> StoredProperty:
        """A newer version of the record."""
        return self.stamped(replace(record, tags={**record.tags, "checked_by": by}))

    def deleted(self, record: StoredProperty) -> StoredProperty:
        """The record's tombstone."""
        fresh = self.stamped(record)
        return replace(fresh, delete_time=fresh.mod_revision)


async def write(
    addresses: Sequence[Address], records: Sequence[StoredProperty], timeout_seconds: float
) -> None:
    """Write the same versions to each of these nodes, side by side."""
    batches = [Batch()]
    for place, record in enumerate(records, 1):
        if batches[-1].full:
            batches.append(Batch())
        batches[-1].add(record, place)
    async with trio.open_nursery() as nursery:
        for address in addresses:
            nursery.start_soon(_write, address, batches, timeout_seconds)


async def _write(address: Address, batches: Sequence[Batch], timeout_seconds: float) -> None:
    async def each() -> AsyncGenerator[Batch]:
        for batch in batches:
            yield batch

    async with connect_node(address, timeout_seconds=timeout_seconds) as node:
        await Importer(node=node, group=GROUP, keep_versions=True).run(each())


@dataclass(frozen=True, slots=True)
class View:
    """What one node holds of the group: its own tree, and its own counts."""

    name: str
    root: str
    slots: tuple[SlotDigest, ...]
    live: int
    deleted: int


async def read_view(name: str, address: Address, timeout_seconds: float) -> View:
    """Ask one node for its tree and its counts."""
    root = ""
    slots: list[SlotDigest] = []
    async with connect_node(address, timeout_seconds=timeout_seconds) as node:
        async with node.tree(GROUP, 0) as answers:
            async for answer in answers:
                root = answer.root or root
                slots += [SlotDigest(slot.slot, slot.sha) for slot in answer.slots]
        status = await node.status()
    shard = next(shard for shard in status.shards if shard.group == GROUP)
    return View(name, root, tuple(slots), shard.records, shard.tombstones)


async def read_views(addresses: dict[str, Address], timeout_seconds: float) -> list[View]:
    """Ask several nodes side by side."""
    views: dict[str, View] = {}

    async def read(name: str, address: Address) -> None:
        views[name] = await read_view(name, address, timeout_seconds)

    async with trio.open_nursery() as nursery:
        for name, address in addresses.items():
            nursery.start_soon(read, name, address)
    return [views[name] for name in addresses]


def difference(views: Sequence[View], plan: Plan) -> str:
    """What is wrong with the end of the story, or "" when nothing is.

    The root of each node is computed from the slots that it showed, and must be the one that it names.
    """
    first = views[0]
    for view in views:
        if not view.root or make_tree(view.slots).root != view.root:
            return f"the root that {view.name} names is not the root of its tree"
        if (view.root, view.slots) != (first.root, first.slots):
            return f"the trees of {first.name} and {view.name} differ"
        if view.live != plan.live_at_the_end:
            return f"{view.name} holds {view.live:,} live records, {plan.live_at_the_end:,} were expected"
    return ""
