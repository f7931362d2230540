"""Disks to try, records to put on them, and how calls ended."""

from __future__ import annotations

import random

import trio
import trio.testing

from gossipnode.core.model.property import Entity, Record, ShardId
from gossipnode.sim.world.sim_disk import SimDisk
from gossipnode.store.interface import StoreClosedError
from gossipnode.store.memory import MemoryStore
from tests.records import bare_record
from tests.store.support import index_rows, leaf_digest

SHARD = ShardId("sw", 0)


def make_disk(**options: object) -> SimDisk:
    return SimDisk("a", random.Random(1), **options)


def open_disk(disk: SimDisk) -> MemoryStore:
    return disk.open(leaf_digest, index_rows)


def record(key: str, revision: int = 1) -> Record:
    return bare_record(f"n/{key}", revision=revision)


async def put(store: MemoryStore, *records: Record, shard: ShardId = SHARD) -> None:
    await store.write([(shard, each) for each in records], stamp=records[-1].version.stamp)


def held(*records: Record) -> dict[ShardId, dict[Entity, Record]]:
    return {SHARD: {each.entity: each for each in records}}


class Endings:
    """How calls ended, each by its name."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.of: dict[str, str] = {}

    def begin(self, name: str, store: MemoryStore, *records: Record) -> None:
        self.nursery.start_soon(self._run, name, store, records)

    async def _run(self, name: str, store: MemoryStore, records: tuple[Record, ...]) -> None:
        try:
            await put(store, *records)
        except StoreClosedError as error:
            self.of[name] = str(error)
        else:
            self.of[name] = f"{trio.current_time():.3f}"
