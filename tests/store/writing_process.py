"""Runs as a process of its own until killed: many tasks write, and print what was acknowledged."""

from __future__ import annotations

import hashlib
import os
import sys
from itertools import count
from pathlib import Path

import trio

from gossipnode.core.property import Entity, Record, ShardId
from gossipnode.core.version import Version, payload_digest
from gossipnode.store.sqlite_store import SqliteStore, open_sqlite_store

SHARD = ShardId("sw", 0)


def leaf_digest(payload: bytes, delete_time: int) -> bytes:
    return hashlib.sha512(payload + str(delete_time).encode()).digest()


async def write(store: SqliteStore, task: int) -> None:
    for number in count():
        payload = b"%d %d " % (task, number) * 200
        # Every other write replaces a record of the task, so that both kinds are cut off.
        identity = f"{task}-{number if number % 2 else 0}"
        record = Record(
            Entity("sw", "name", identity), Version(number + 1, 0, payload_digest(payload)), payload
        )
        await store.write([(SHARD, record)], stamp=number)
        os.write(1, f"{identity} {number + 1}\n".encode())


async def main() -> None:
    async with (
        open_sqlite_store(Path(sys.argv[1]), leaf_digest=leaf_digest, dialect="leaf_digest") as store,
        trio.open_nursery() as nursery,
    ):
        for task in range(16):
            nursery.start_soon(write, store, task)
        while True:
            await store.tree(SHARD)


if __name__ == "__main__":
    trio.run(main)
